"""Keeps the messages between processes of one host apart: PROC-08, "Erlang terms are copied".

A receiver shares with the sender only what neither can change. Immutable values pass by
reference; the usual mutable containers are rebuilt; anything else goes through pickle.

Invariants:
    I1  ``isolate(x)`` equals ``x`` and has its types.
    I2  No change through the result is seen through ``x``, nor the other way round.
    I3  Atoms, and tuples, frozensets and frozen dataclasses made of them, are not copied.

What passes by reference although it could hide something mutable, as it would by pickle on one
host: functions (with their closures), classes and members of enumerations.

A copy does not keep sharing: a list that is in a message twice arrives as two equal lists,
unless the message is nested deeper than ``_MAX_DEPTH``.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import pickle
import re
import types
import uuid
from abc import ABC
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from operator import attrgetter, is_
from typing import Any, Generic, Protocol, TypeVar

import cloudpickle

from foundation.kernel.codec import unsendable
from foundation.kernel.values import Alias, Pid, Ref

__all__ = ["ATOMS", "isolate", "register_immutable"]

T = TypeVar("T")

ATOMS: frozenset[type] = frozenset(
    {
        *(int, str, bytes, bool, float, complex, range, type),
        *(type(None), type(Ellipsis), type(NotImplemented)),
        *(Pid, Ref, Alias),
        *(types.FunctionType, types.CodeType, re.Pattern),
        *(Decimal, Fraction, uuid.UUID),
        *(datetime.date, datetime.time, datetime.datetime),
        *(datetime.timedelta, datetime.timezone),
        *(pathlib.PurePosixPath, pathlib.PureWindowsPath),
        *(pathlib.PosixPath, pathlib.WindowsPath),
    }
)
"""The exact types whose instances pass by reference without a further look."""

# A deeper message, a cycle, or a graph that shares its nodes (and so would take exponential
# time here) falls to pickle, which does all of these in C.
_MAX_DEPTH = 12

_Copier = Callable[[Any, int], Any]

# What has been found out about the types met so far: either they pass by reference or here is
# how to copy them. Both grow with the number of *classes* that were ever sent; a program has a
# bounded number of these, so nothing is evicted (and a class in use could not be freed anyway).
_by_reference: set[type] = set(ATOMS)
_copiers: dict[type, _Copier] = {}

_HEAP_TYPE = 1 << 9
_STATELESS_BASES = (object, Generic, Protocol, ABC)


class _TooDeep(Exception):
    """The value is nested deeper than ``_MAX_DEPTH``; never leaves this module."""


def isolate(value: T) -> T:
    """Return *value* so that its receiver cannot change anything the sender has.

    Raises:
        Unsendable: *value* is mutable and has a part that cannot be copied.
    """
    kind = type(value)
    if kind in _by_reference:
        return value
    try:
        result: T = (_copiers.get(kind) or _decide(kind))(value, _MAX_DEPTH)
    except _TooDeep:
        result = _by_pickle(value, 0)
    return result


def register_immutable(cls: type) -> None:
    """Let the instances of exactly *cls* pass by reference.

    For classes whose instances are immutable or made to be shared. The author of a class may
    say the same with the attribute ``__immutable__ = True``, which subclasses inherit; False
    makes instances travel by pickle even if they look immutable.
    """
    _by_reference.add(cls)
    _copiers.pop(cls, None)


def _copy(value: Any, depth: int) -> Any:
    """Return *value* itself when it is immutable throughout, else a copy."""
    kind = type(value)
    if kind in _by_reference:
        return value
    if depth <= 0:
        raise _TooDeep
    return (_copiers.get(kind) or _decide(kind))(value, depth)


def _as_is(value: Any, depth: int) -> Any:
    return value


def _copy_tuple(value: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
    for item in value:
        if type(item) not in _by_reference:
            break
    else:
        return value
    copies = [_copy(item, depth - 1) for item in value]
    return value if all(map(is_, value, copies)) else tuple(copies)


def _copy_list(value: list[Any], depth: int) -> list[Any]:
    for item in value:
        if type(item) not in _by_reference:
            return [_copy(item, depth - 1) for item in value]
    return value[:]


def _copy_dict(value: dict[Any, Any], depth: int) -> dict[Any, Any]:
    for key, item in value.items():
        if type(item) not in _by_reference or type(key) not in _by_reference:
            break
    else:
        return value.copy()
    depth -= 1
    return {_copy(key, depth): _copy(item, depth) for key, item in value.items()}


def _copy_frozenset(value: frozenset[Any], depth: int) -> frozenset[Any]:
    copies = [_copy(item, depth - 1) for item in value]
    return value if all(map(is_, value, copies)) else frozenset(copies)


def _copy_set(value: set[Any], depth: int) -> set[Any]:
    return {_copy(item, depth - 1) for item in value}


def _copy_deque(value: deque[Any], depth: int) -> deque[Any]:
    return deque([_copy(item, depth - 1) for item in value], value.maxlen)


def _copy_bytearray(value: bytearray, depth: int) -> bytearray:
    return value[:]


def _copy_builtin(value: Any, depth: int) -> Any:
    # ``[].append`` has the type of ``len`` but holds a list.
    owner = value.__self__
    if owner is None or isinstance(owner, (types.ModuleType, type)):
        return value
    return _by_pickle(value, depth)


def _by_pickle(value: Any, depth: int) -> Any:
    try:
        return pickle.loads(pickle.dumps(value, 5))
    except Exception:
        # Lambdas and local classes; cloudpickle knows them again within one interpreter.
        try:
            return pickle.loads(cloudpickle.dumps(value, 5))
        except Exception as error:
            raise unsendable(value, error) from error


def _decide(cls: type) -> _Copier:
    """Find out, once for each class, how its instances travel."""
    copier = _copier_for(cls)
    if copier is _as_is:
        _by_reference.add(cls)
    else:
        _copiers[cls] = copier
    return copier


def _copier_for(cls: type) -> _Copier:
    wish = getattr(cls, "__immutable__", None)
    if wish is not None:
        return _as_is if wish is True else _by_pickle
    if issubclass(cls, (Enum, type)):
        return _as_is
    if _is_plain_named_tuple(cls):
        return _named_tuple_copier(cls)
    if _is_plain_frozen_dataclass(cls):
        return _dataclass_copier(cls)
    return _by_pickle


def _is_plain_named_tuple(cls: type) -> bool:
    """Whether instances are a tuple and nothing else."""
    return issubclass(cls, tuple) and hasattr(cls, "_make") and not cls.__dictoffset__


def _named_tuple_copier(cls: type) -> _Copier:
    def copy(value: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
        items = _copy_tuple(tuple(value), depth)
        return value if all(map(is_, value, items)) else tuple.__new__(cls, items)

    return copy


def _is_plain_frozen_dataclass(cls: type) -> bool:
    """Whether instances have their fields and nothing else, and cannot assign to them.

    Each base must be a frozen dataclass too, or hold nothing: a base written in C (an
    exception, a dict) or one with slots of its own could hide something mutable. An instance
    ``__dict__`` is looked at in each instance, as ``cached_property`` writes to it.
    """
    if not dataclasses.is_dataclass(cls):
        return False
    names = {field.name for field in dataclasses.fields(cls)} | {"__weakref__", "__dict__"}
    for base in cls.__mro__:
        if base in _STATELESS_BASES:
            continue
        own = vars(base)
        params = own.get("__dataclass_params__")
        slots = own.get("__slots__", ())
        if params is not None and not params.frozen:
            return False
        if not base.__flags__ & _HEAP_TYPE or "__reduce__" in own or "__reduce_ex__" in own:
            return False
        if not names.issuperset((slots,) if isinstance(slots, str) else slots):
            return False
    # A subclass that is no dataclass itself may do anything to its parent's promise.
    return "__dataclass_params__" in vars(cls)


def _dataclass_copier(cls: type) -> _Copier:
    names = tuple(field.name for field in dataclasses.fields(cls))
    if not names and not cls.__dictoffset__:
        return _as_is
    get = _getter(names)
    has_dict = bool(cls.__dictoffset__)

    def copy(value: Any, depth: int) -> Any:
        if has_dict and len(value.__dict__) != len(names):
            return _by_pickle(value, depth)
        try:
            items = get(value)
        except AttributeError:  # a field that was never set
            return _by_pickle(value, depth)
        for item in items:
            if type(item) not in _by_reference:
                break
        else:
            return value
        copies = [_copy(item, depth - 1) for item in items]
        if all(map(is_, items, copies)):
            return value
        twin: Any = object.__new__(cls)
        for name, item in zip(names, copies, strict=True):
            object.__setattr__(twin, name, item)
        return twin

    return copy


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gets the attributes *names* as a tuple, however many they are."""
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda value: (get(value),)
    return attrgetter(*names) if names else lambda value: ()


_copiers.update(
    {
        tuple: _copy_tuple,
        list: _copy_list,
        dict: _copy_dict,
        frozenset: _copy_frozenset,
        set: _copy_set,
        deque: _copy_deque,
        bytearray: _copy_bytearray,
        types.BuiltinFunctionType: _copy_builtin,
    }
)
