"""Child specifications: how a supervisor starts, restarts and stops one child."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foundation.errors import InvalidChildSpec

RESTARTS = ("permanent", "transient", "temporary")
TYPES = ("worker", "supervisor")
_DEFAULT: Any = None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor. Validated when made.

    Attributes:
        id: identifies the child under its supervisor.
        start: ``(target, args, kwargs)``. *target* is a ``GenServer`` subclass, or an
            ``async def`` function that starts and links a process and returns its pid (or
            ``(pid, info)``, or ``Ignored()``).
        restart: ``"permanent"`` always, ``"transient"`` after a crash only, ``"temporary"``
            never.
        shutdown: seconds to end after exit ``shutdown``, then it is killed; ``math.inf``
            waits; ``"brutal_kill"`` kills at once. Default 5, for supervisors ``math.inf``.
        type: ``"worker"`` or ``"supervisor"``.
        significant: its end may end the supervisor, see ``auto_shutdown``.
        name: registered name.
        isolation: None, or ``"host"``: an operating-system process of its own.
        host: None beside its supervisor, ``"spread"`` over the worker hosts, or a host's name.
        timeout: seconds ``init`` may take; None is no limit.
    """

    id: Any
    start: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    restart: str = "permanent"
    shutdown: float | str = _DEFAULT
    type: str = "worker"
    significant: bool = False
    name: Any = None
    isolation: str | None = None
    host: str | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.shutdown is _DEFAULT:
            value = math.inf if self.type == "supervisor" else 5.0
            object.__setattr__(self, "shutdown", value)
        _check_start(self.start)
        # Specs are made by the ten thousand: no call for what is right.
        if self.restart not in RESTARTS:
            _one_of("restart", self.restart, RESTARTS)
        if self.type not in TYPES:
            _one_of("type", self.type, TYPES)
        if self.isolation is not None:
            _one_of("isolation", self.isolation, (None, "host"))
        if type(self.significant) is not bool:
            _refuse("significant", "True or False", self.significant)
        if self.significant and self.restart == "permanent":
            raise InvalidChildSpec(
                f"child {self.id!r} is significant and permanent, a bad_combination: "
                "a permanent child is always restarted; use transient or temporary"
            )
        if self.shutdown != 5.0:
            _check_seconds(self.shutdown)
        if self.host is not None and not isinstance(self.host, str):
            _refuse("host", "None, 'spread' or a host's name", self.host)
        if self.timeout is not None and not _positive(self.timeout):
            _refuse("timeout", "None or seconds above 0", self.timeout)


def make_spec(target: Any, args: tuple[Any, ...], options: dict[str, Any]) -> ChildSpec:
    """Return a spec of *target*; options that are no fields of ``ChildSpec`` go to ``init``."""
    fields = {k: options.pop(k) for k in _FIELDS if k in options} if options else {}
    if fields.get("id") is None:
        name = fields.get("name")
        fields["id"] = target if name is None else name
    if "type" not in fields and getattr(target, "__is_supervisor__", False):
        fields["type"] = "supervisor"
    return ChildSpec(start=(target, args, options), **fields)


_FIELDS = tuple(f.name for f in dataclasses.fields(ChildSpec) if f.name != "start")


def child_spec(base: Any, **overrides: Any) -> ChildSpec:
    """Return *base* (a spec, a class, or ``(class, arg)``) with fields replaced.

    Raises:
        InvalidChildSpec: an override is no field of ``ChildSpec``, or has a wrong value.
    """
    spec = to_spec(base)
    unknown = [key for key in overrides if key not in (*_FIELDS, "start")]
    if unknown:
        raise InvalidChildSpec(
            f"unknown child spec field {unknown[0]!r}; fields are {', '.join(_FIELDS)}, start"
        )
    return dataclasses.replace(spec, **overrides)


def to_spec(child: Any) -> ChildSpec:
    """Return the spec that *child* stands for: a spec, a class, or ``(class, *args)``.

    Raises:
        InvalidChildSpec: it is none of these.
    """
    if isinstance(child, ChildSpec):
        return child
    target, args = child, ()
    if isinstance(child, tuple) and child:
        target, args = child[0], child[1:]
    make = getattr(target, "spec", None)
    if make is None:
        raise InvalidChildSpec(
            "a child must be a ChildSpec, a server class, or a tuple (class, *args); "
            f"got {child!r}"
        )
    spec = make(*args)
    if not isinstance(spec, ChildSpec):
        raise InvalidChildSpec(f"{target!r}.spec() must return a ChildSpec, got {spec!r}")
    return spec


def _check_start(start: Any) -> None:
    if (
        not isinstance(start, tuple)
        or len(start) != 3
        or not callable(start[0])
        or not isinstance(start[1], tuple)
        or not isinstance(start[2], dict)
    ):
        _refuse("start", "(class or async function, args tuple, kwargs dict)", start)


def _check_seconds(value: Any) -> None:
    if value == "brutal_kill" or (_number(value) and value >= 0):
        return
    _refuse("shutdown", "seconds of 0 or more, math.inf or 'brutal_kill'", value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _one_of(field: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        *most, last = (repr(a) for a in allowed)
        _refuse(field, f"{', '.join(most)} or {last}", value)


def _refuse(field: str, expected: str, got: Any) -> None:
    raise InvalidChildSpec(f"child spec: {field} must be {expected}, got {got!r}")
