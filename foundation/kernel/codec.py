"""Turns messages into bytes and back: what travels in the frames between hosts.

The format is msgpack. What msgpack knows (None, bool, int, float, str, bytes, list, dict) is
written as such; everything else is an *extension*: a code from the table and a payload.

    ======  ====================================  =============================================
    code    what                                  payload
    ======  ====================================  =============================================
    0       any importable object                 pickle
    1       functions, local classes, __main__    cloudpickle
    2       tuple                                 msgpack array of the items
    3, 4    set, frozenset                        msgpack array of the items
    5       int beyond 64 bits                    little-endian two's complement
    6       complex                               two little-endian doubles
    7       bytearray                             its bytes
    8       dataclass of a class that the      msgpack array: the class by cloudpickle (made
            other host cannot import           once), then the values of the fields
    9       `ByValue`: a class or function     cloudpickle, with its whole module by value
    10-15   reserved for this module
    16-24   Pid, Ref, Alias, Shutdown, Crash,     msgpack array of the values of the fields
            BadReturn, ExitMsg, Down, Timeout
    25-31   reserved for ``kernel/values.py``
    32-63   `register`: kernel and runtime        msgpack array of the values of the fields
    64-95   `register`: otp                       the same
    96-127  `register`: cluster and above         the same
    ======  ====================================  =============================================

Invariants:
    C1  ``loads(dumps(x))`` equals ``x`` and every part has the exact type it had; an instance
        of a subclass (named tuple, ``str`` subclass, enumeration, …) so travels as pickle.
    C2  ``dumps`` raises nothing but ``Unsendable``, ``loads`` nothing but ``CodecError``.
    C3  ``loads(..., allow_pickle=False)`` runs no code that the sender chose.
    C4  ``loads(..., allow_code=False)`` takes no class or function that was sent by value. That
        keeps honest nodes honest; a pickle can do anything.

The default of `loads` unpickles, so call it only on bytes of an authenticated peer.

Like Erlang's, this format does not keep sharing: a list that is in a message twice arrives as
two equal lists. Cycles are kept, since this module gives up on them and pickle takes over.
"""

from __future__ import annotations

import dataclasses
import pickle
import struct
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle
import msgpack

from foundation.errors import CodecError, Unsendable
from foundation.kernel.by_value import ByValue, shipped
from foundation.kernel.values import (
    Alias,
    BadReturn,
    Crash,
    Down,
    ExitMsg,
    Pid,
    Ref,
    Shutdown,
    Timeout,
)

__all__ = ["ByValue", "dumps", "dumps_frame", "loads", "pickled", "register", "register_custom"]

(
    PICKLE, CLOUDPICKLE, TUPLE, SET, FROZENSET, BIG_INT, COMPLEX, BYTEARRAY, BY_VALUE,
) = range(9)  # fmt: skip
SHIPPED = 9

_FIRST_FREE_CODE = 16
_LAST_CODE = 127

# Each nested extension is a nested call of msgpack, whose decoder takes 40 kB of C stack. So an
# attacker's deep nesting must end here, and an honest sender's message goes as pickle: all of
# it, so that a cycle stays one, and a graph that shares its nodes takes no exponential time.
_MAX_DEPTH = 16

# A packer keeps the buffer of its largest message; larger ones are not kept for reuse.
_INITIAL_BUFFER = 1 << 10
_KEEP_BUFFER = 1 << 18

_Encoder = Callable[[Any], Any]

# Exact type -> (code, how to list the parts), or -> (code, how to write the payload).
_listed: dict[type, tuple[int, _Encoder]] = {
    tuple: (TUPLE, list),
    set: (SET, list),
    frozenset: (FROZENSET, list),
}
_raw: dict[type, tuple[int, _Encoder]] = {
    int: (BIG_INT, lambda n: n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)),
    complex: (COMPLEX, lambda z: struct.pack("<dd", z.real, z.imag)),
    bytearray: (BYTEARRAY, bytes),
}

# Code -> how to build the object from the list of its parts, or from the payload.
_from_list: dict[int, Callable[[list[Any]], object]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
}
_from_raw: dict[int, Callable[[bytes], object]] = {
    BIG_INT: lambda data: int.from_bytes(data, "little", signed=True),
    COMPLEX: lambda data: complex(*struct.unpack("<dd", data)),
    BYTEARRAY: bytearray,
}

_class_of: dict[int, type] = {}


class _TooDeep(Exception):
    """More than ``_MAX_DEPTH`` nested extensions; never leaves this module."""


def register(cls: type, code: int, fields: Iterable[str] | None = None) -> None:
    """Give the message class *cls* a compact encoding of its own.

    Both ends must register the same classes under the same codes; do it at import.

    Args:
        cls: a class whose constructor takes the values of *fields* in order.
        code: its number, from the range of its floor in the table above.
        fields: names of the attributes to send; by default those of the dataclass or named
            tuple, or the ``__slots__``.

    Raises:
        ValueError: the code is out of range or taken, or the class has a code already.
    """
    if not _FIRST_FREE_CODE <= code <= _LAST_CODE:
        msg = f"code must be from {_FIRST_FREE_CODE} to {_LAST_CODE}, got {code!r}"
        raise ValueError(msg)
    holder = _class_of.get(code)
    if holder is cls:
        return
    if holder is not None or cls in _listed:
        msg = (
            f"code {code} cannot be given to {cls.__qualname__}: it belongs to "
            f"{holder.__qualname__}, choose another code"
            if holder is not None
            else f"{cls.__qualname__} is registered already under code {_listed[cls][0]}"
        )
        raise ValueError(msg)
    names = _field_names(cls) if fields is None else tuple(fields)
    _listed[cls] = (code, list if hasattr(cls, "_make") and fields is None else _lister(names))
    _from_list[code] = lambda values: cls(*values)
    _class_of[code] = cls


def register_custom(
    cls: type, code: int, to_list: _Encoder, from_list: Callable[[list[Any]], object]
) -> None:
    """Like `register`, for a class that is not simply its fields.

    Args:
        cls: the class.
        code: its number.
        to_list: returns what is to travel, as a list.
        from_list: makes the object on the other side.
    """
    register(cls, code, ())
    _listed[cls] = (code, to_list)
    _from_list[code] = from_list


def dumps(obj: object) -> bytes:
    """Return the bytes that `loads` turns into an equal object of the same types.

    Raises:
        Unsendable: a part of *obj* cannot travel (a lock, a socket, a generator, …).
    """
    try:
        data: bytes = _pack(obj)
    except Unsendable:
        raise
    except Exception:
        # Too deep for msgpack, a cycle, a lone surrogate, 4 GB at once: pickle can.
        data = _ext_packer.pack(_ext(*pickled(obj)))
    return data


def dumps_frame(head: list[Any], operations: list[tuple[Any, ...]]) -> bytes:
    """Return the bytes that `loads` turns into ``[*head, operations]``, each a list.

    For the frames of a kernel (``kernel/remote.py``): msgpack writes the lists itself, and nobody
    looks for bytearrays in them, as the messages in operations are the bytes of a `dumps`.

    Raises:
        Unsendable: as `dumps`.
    """
    frame = [*head, list(map(list, operations))]
    try:
        return _pack_frame(frame)
    except Exception:
        return dumps(frame)


def loads(
    data: bytes | bytearray | memoryview, *, allow_pickle: bool = True, allow_code: bool = True
) -> object:
    """Return the object that `dumps` made *data* of.

    Args:
        data: exactly one message, from an authenticated peer unless *allow_pickle* is False.
        allow_pickle: False refuses the codes that can run code of the sender.
        allow_code: False refuses classes and functions by value.

    Raises:
        CodecError: the bytes are no message: malformed, truncated, too deep, a code that nobody
            registered here, or a class that cannot be imported here.
    """
    try:
        if allow_pickle and allow_code:
            return _unpack(data)
        return _unpack_importable(data) if allow_pickle else _unpack_safely(data)
    except CodecError:
        raise
    except Exception as error:
        msg = f"{len(data)} bytes are not a message: {type(error).__name__}: {_text(error)}"
        raise CodecError(msg) from error


def pickled(obj: object) -> tuple[int, bytes]:
    """Return the code and the payload of *obj* as pickle, by cloudpickle where need be.

    Raises:
        Unsendable: not even cloudpickle can.
    """
    try:
        data = pickle.dumps(obj, 5)
    except Exception:
        return CLOUDPICKLE, _cloudpickled(obj)
    # pickle names classes of __main__, which is another module on the other host.
    if b"__main__" in data:
        return CLOUDPICKLE, _cloudpickled(obj)
    return PICKLE, data


def unsendable(obj: object, error: Exception) -> Unsendable:
    """Return the error that tells why *obj* cannot be sent, and what to do."""
    kind = type(obj)
    return Unsendable(
        f"a {kind.__module__}.{kind.__qualname__} cannot be sent: {_text(error)}; send plain "
        "data instead, or keep the resource in one process and send its pid"
    )


def _cloudpickled(obj: object) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(obj, 5)
    except Exception as error:
        raise unsendable(obj, error) from error
    return data


def _text(error: Exception) -> str:
    try:
        return str(error)[:300]
    except Exception:
        return "<unprintable>"


def _field_names(cls: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    names = getattr(cls, "_fields", None) or getattr(cls, "__slots__", None)
    if names is None:
        msg = f"fields= must be given for {cls.__qualname__}, which has no fields or __slots__"
        raise ValueError(msg)
    return (names,) if isinstance(names, str) else tuple(names)


def _lister(names: tuple[str, ...]) -> _Encoder:
    """Return a function that lists the attributes *names* of an object."""
    if not names:
        return lambda obj: []
    get = attrgetter(*names)
    return (lambda obj: [get(obj)]) if len(names) == 1 else _as_list(get)


def _as_list(get: Callable[[Any], Any]) -> _Encoder:
    """Return *get* with its tuple as a list, since msgpack is to write an array."""
    return lambda obj: list(get(obj))


def _ext(code: int, payload: bytes) -> Any:
    # Skips the checks of ExtType.__new__, which take longer than packing a small message.
    return tuple.__new__(msgpack.ExtType, (code, payload))


# --- encoding


def _packing(
    depth: int, inner: Callable[[Any], bytes] | None, look: bool = True
) -> Callable[[Any], bytes]:
    """Return the function that packs what is nested in *depth* extensions.

    There is one for each depth, knowing the next as *inner*: that bounds the depth without
    counting, and a packer that is in the middle of one message is never entered for another.
    Without *look* there is no looking for bytearrays.
    """
    idle: list[Any] = []

    def default(obj: Any) -> Any:
        kind = type(obj)
        entry = _listed.get(kind)
        if entry is not None:
            if inner is None:
                raise _TooDeep
            return new(ext, (entry[0], inner(entry[1](obj))))
        entry = _raw.get(kind)
        if entry is not None:
            return new(ext, (entry[0], entry[1](obj)))
        if inner is not None and is_dataclass(kind):
            by_value = _by_value(kind)
            if by_value is not None:
                blob, listed = by_value
                return new(ext, (BY_VALUE, inner([blob, *listed(obj)])))
        return new(ext, pickled(obj))

    def pack(obj: Any) -> bytes:
        try:
            packer = idle.pop()
        except IndexError:
            packer = msgpack.Packer(
                default=default, strict_types=True, buf_size=_INITIAL_BUFFER
            )
        # A packer that raised is not put back; one that another thread has is not in idle.
        data: bytes = packer.pack(obj)
        if look and (0xC4 in data or (len(data) > 0xFF and (0xC5 in data or 0xC6 in data))):
            marked = _mark_bytearrays(obj)
            if marked is not obj:
                data = packer.pack(marked)
        if len(data) <= _KEEP_BUFFER:
            idle.append(packer)
        return data

    new, ext, is_dataclass = tuple.__new__, msgpack.ExtType, dataclasses.is_dataclass
    return pack


def _mark_bytearrays(obj: Any) -> Any:
    """Return *obj* with its bytearrays as extensions, *obj* itself when it has none.

    msgpack writes bytes and bytearrays alike and asks nobody, so this runs for those messages
    that have a byte which can begin either. It looks where msgpack itself went: into lists and
    dictionaries; what is in an extension has been looked at when that was packed.
    """
    kind = type(obj)
    if kind is bytearray:
        return _ext(BYTEARRAY, bytes(obj))
    if isinstance(obj, memoryview):
        raise unsendable(obj, TypeError("it is a view of somebody's memory, use bytes(view)"))
    if kind is list:
        if _BYTES_OR_DEEPER.isdisjoint(map(type, obj)):
            return obj
        marked = [_mark_bytearrays(item) for item in obj]
        return obj if all(a is b for a, b in zip(obj, marked, strict=True)) else marked
    if kind is dict:
        if _BYTES_OR_DEEPER.isdisjoint(map(type, obj.values())):
            return obj
        values = {key: _mark_bytearrays(item) for key, item in obj.items()}
        return obj if all(values[key] is obj[key] for key in obj) else values
    return obj


_BYTES_OR_DEEPER = frozenset({bytearray, memoryview, list, dict})


def _by_value(cls: Any) -> tuple[bytes, _Encoder] | None:
    """Return *cls* by cloudpickle, and how to list its fields, when no other host can import it.

    The typed requests of a script's own ``__main__`` are such; pickling their class for each
    message would take a hundred times as long as the message. None: let pickle do it.
    """
    try:
        return _by_value_classes[cls]
    except KeyError:
        pass
    params = cls.__dataclass_params__
    plain = (
        (cls.__module__ == "__main__" or "<locals>" in cls.__qualname__)
        and params.frozen
        and params.init
        and not hasattr(cls, "__post_init__")
        and cls.__reduce_ex__ is object.__reduce_ex__
        and all(f.init and not f.kw_only for f in dataclasses.fields(cls))
    )
    found = (_cloudpickled(cls), _lister(_field_names(cls))) if plain else None
    _by_value_classes[cls] = found
    return found


def _from_blob(values: list[Any]) -> object:
    blob, *fields = values
    cls = _loaded.get(blob)
    if cls is None:
        cls = _loaded[blob] = pickle.loads(blob)
    return cls(*fields)


_by_value_classes: WeakKeyDictionary[type, tuple[bytes, _Encoder] | None] = WeakKeyDictionary()
_loaded: dict[bytes, Any] = {}  # one entry for each such class a peer has

# --- decoding


def _unpacking(
    inner: Callable[[Any], object] | None, allow_pickle: bool, allow_code: bool
) -> Callable[[Any], object]:
    """Return the function that unpacks one level; *inner* unpacks the next, see `_packing`."""

    def ext_hook(code: int, payload: bytes) -> object:
        build = _from_list.get(code)
        if build is not None:
            if inner is None:
                raise CodecError(f"extensions are nested more than {_MAX_DEPTH} deep")
            if code == BY_VALUE and not (allow_pickle and allow_code):
                raise CodecError("classes by value are refused here; register the class")
            parts = inner(payload)
            if type(parts) is not list:
                raise CodecError(f"the payload of code {code} must be an array")
            return build(parts)
        build_raw = _from_raw.get(code)
        if build_raw is not None:
            return build_raw(payload)
        if code in (CLOUDPICKLE, SHIPPED) and not allow_code:
            raise CodecError("classes and functions by value are refused here")
        return _unpickle(code, payload, allow_pickle)

    unpackb = msgpack.unpackb

    def unpack(data: Any) -> object:
        return unpackb(data, strict_map_key=False, ext_hook=ext_hook)

    return unpack


def _unpickle(code: int, payload: bytes, allow_pickle: bool) -> object:
    if code not in (PICKLE, CLOUDPICKLE, SHIPPED):
        msg = f"code {code} is unknown here; both ends must import the module that registers it"
        raise CodecError(msg)
    if not allow_pickle:
        raise CodecError("pickle is refused here; send plain data or registered classes only")
    return pickle.loads(payload)


def _chain_packing() -> Callable[[Any], bytes]:
    pack = None
    for depth in reversed(range(1, _MAX_DEPTH + 1)):
        pack = _packing(depth, pack)
    assert pack is not None
    return pack


def _chain_unpacking(allow_pickle: bool, allow_code: bool = True) -> Callable[[Any], object]:
    unpack = None
    for _ in range(_MAX_DEPTH + 1):
        unpack = _unpacking(unpack, allow_pickle, allow_code)
    assert unpack is not None
    return unpack


_from_list[BY_VALUE] = _from_blob
_raw[ByValue] = (SHIPPED, shipped)
_pack_nested = _chain_packing()
_pack = _packing(0, _pack_nested)
_pack_frame = _packing(0, _pack_nested, look=False)
_unpack = _chain_unpacking(allow_pickle=True)
_unpack_importable = _chain_unpacking(allow_pickle=True, allow_code=False)
_unpack_safely = _chain_unpacking(allow_pickle=False)
_ext_packer = msgpack.Packer(strict_types=True)

for _code, _cls in enumerate(
    (Pid, Ref, Alias, Shutdown, Crash, BadReturn, ExitMsg, Down, Timeout), _FIRST_FREE_CODE
):
    register(_cls, _code)
