"""What supervisors decide, as values and pure functions.

====================  ===========  ==============  ============
the child ended       permanent    transient       temporary
====================  ===========  ==============  ============
cleanly               RESTART      KEEP            FORGET
otherwise             RESTART      RESTART         FORGET
====================  ===========  ==============  ============
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from foundation.errors import InvalidChildSpec
from foundation.kernel.codec import register
from foundation.kernel.values import Pid, is_clean
from foundation.otp.child_spec import ChildSpec, to_spec

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
AUTO_SHUTDOWNS = ("never", "any_significant", "all_significant")

RESTART, KEEP, FORGET = "restart", "keep", "forget"
T = TypeVar("T")
F = TypeVar("F", "SupFlags", "DynamicFlags")


@dataclass(frozen=True, slots=True)
class SupFlags:
    """How a supervisor supervises. Validated when made.

    Attributes:
        strategy: what else is restarted with a failed child: ``"one_for_one"`` nothing,
            ``"one_for_all"`` all, ``"rest_for_one"`` those started after it.
        max_restarts: restarts allowed within any *max_seconds*; one more ends the supervisor.
        max_seconds: seconds.
        auto_shutdown: ``"never"``, or when the supervisor ends itself with reason
            ``shutdown``: ``"any_significant"`` or ``"all_significant"`` children have ended by
            themselves.
    """

    strategy: str = "one_for_one"
    max_restarts: int = 3
    max_seconds: float = 5.0
    auto_shutdown: str = "never"

    def __post_init__(self) -> None:
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        check_limits(self.max_restarts, self.max_seconds)


@dataclass(frozen=True, slots=True)
class DynamicFlags:
    """How a dynamic supervisor supervises. Validated when made.

    Attributes:
        max_children: how many children it may have; None is no limit.
        extra_arguments: come before the arguments of each child's spec.
        max_restarts, max_seconds: as in ``SupFlags``.
        strategy: only ``"one_for_one"``.
        auto_shutdown: only ``"never"``.
    """

    max_children: int | None = None
    extra_arguments: tuple[Any, ...] = ()
    max_restarts: int = 3
    max_seconds: float = 5.0
    strategy: str = "one_for_one"
    auto_shutdown: str = "never"

    def __post_init__(self) -> None:
        one_of("strategy of a dynamic supervisor", self.strategy, ("one_for_one",))
        one_of("auto_shutdown of a dynamic supervisor", self.auto_shutdown, ("never",))
        check_limits(self.max_restarts, self.max_seconds)
        if self.max_children is not None and not _count(self.max_children):
            refuse("max_children", "None or a whole number of 0 or more", self.max_children)
        if not isinstance(self.extra_arguments, (tuple, list)):
            refuse("extra_arguments", "a list or tuple", self.extra_arguments)
        object.__setattr__(self, "extra_arguments", tuple(self.extra_arguments))


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of ``which_children``.

    Attributes:
        id: of its spec; None under a dynamic supervisor.
        pid: None while it is down, ``"restarting"`` between two attempts.
        type: ``"worker"`` or ``"supervisor"``.
        modules: the module of what it runs.
    """

    id: Any
    pid: Pid | Literal["restarting"] | None
    type: str
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """What ``count_children`` returns.

    Attributes:
        specs: children, dead or alive.
        active: those that run.
        supervisors: those of type supervisor, dead or alive.
        workers: those of type worker, dead or alive.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Why a supervisor could not start, inside ``Shutdown(...)``: its child *id* could not."""

    id: Any
    reason: Any


@dataclass(frozen=True, slots=True)
class BadSpec:
    """Why a supervisor could not start: a child spec or flag is wrong; *cause* says which."""

    cause: str


@dataclass(frozen=True, slots=True)
class BadChild:
    """Why a child could not start: its start function returned the odd *value*."""

    value: str


def flags_of(kind: type[F], supervisor: type, overrides: dict[str, Any]) -> F:
    """Return the class attributes of *supervisor* as flags, with *overrides* that are not None.

    Raises:
        InvalidChildSpec: one is unknown or has a wrong value.
    """
    names = [field.name for field in fields(kind)]
    unknown = [name for name in overrides if name not in names]
    if unknown:
        raise InvalidChildSpec(f"unknown flag {unknown[0]!r}; flags are {', '.join(names)}")
    values = {name: getattr(supervisor, name) for name in names if hasattr(supervisor, name)}
    return kind(**{**values, **{k: v for k, v in overrides.items() if v is not None}})


def after_exit(restart: str, reason: Any) -> str:
    """Return what to do with a child of restart type *restart* that ended with *reason*."""
    if restart == "permanent":
        return RESTART
    if restart == "temporary":
        return FORGET
    return KEEP if is_clean(reason) else RESTART


def restart_group(strategy: str, members: Sequence[T], failed: T) -> list[T]:
    """Return which of *members*, in start order, restart together with *failed*."""
    if strategy == "one_for_one":
        return [failed]
    if strategy == "one_for_all":
        return list(members)
    return list(members[members.index(failed) :])


def auto_shutdown_due(
    auto_shutdown: str, spec: ChildSpec, others: Sequence[tuple[ChildSpec, bool]]
) -> bool:
    """Whether the end of *spec*'s child, which is not restarted, ends the supervisor.

    Args:
        auto_shutdown: the flag.
        spec: of the child that ended by itself.
        others: the specs of the other children, and whether each runs or is to run again.
    """
    if auto_shutdown == "never" or not spec.significant:
        return False
    if auto_shutdown == "any_significant":
        return True
    return not any(other.significant and active for other, active in others)


def check_child(spec: ChildSpec, auto_shutdown: str) -> None:
    """Check what only the supervisor knows about *spec*.

    Raises:
        InvalidChildSpec: the id is unhashable, or it is significant without auto_shutdown.
    """
    if not hashable(spec.id):
        refuse("id", "hashable", spec.id)
    if spec.significant and auto_shutdown == "never":
        raise InvalidChildSpec(
            f"child {spec.id!r} is significant but the supervisor's auto_shutdown is 'never', "
            "a bad_combination: set auto_shutdown, or significant=False"
        )


def check_children(children: Any, auto_shutdown: str) -> list[ChildSpec]:
    """Return the specs that the list *children* stands for.

    Raises:
        InvalidChildSpec: one is wrong, or two have the same id.
    """
    specs: dict[Any, ChildSpec] = {}
    for child in children:
        spec = to_spec(child)
        check_child(spec, auto_shutdown)
        if spec.id in specs:
            raise InvalidChildSpec(
                f"duplicate child id {spec.id!r}: two children of a supervisor need two ids; "
                "pass id= to spec()"
            )
        specs[spec.id] = spec
    return list(specs.values())


def child_info(spec: ChildSpec, pid: Any, id: Any) -> ChildInfo:
    """Return the line of ``which_children`` for a child."""
    return ChildInfo(id, pid, spec.type, (getattr(spec.start[0], "__module__", "?"),))


def check_limits(max_restarts: Any, max_seconds: Any) -> None:
    """Check the restart limits.

    Raises:
        InvalidChildSpec: one is out of range.
    """
    if not _count(max_restarts):
        refuse("max_restarts", "a whole number of 0 or more", max_restarts)
    if type(max_seconds) not in (int, float) or not max_seconds > 0:
        refuse("max_seconds", "seconds above 0", max_seconds)


def hashable(value: Any) -> bool:
    """Whether *value* can be a child id."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def one_of(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Check that *value* is one of *allowed*.

    Raises:
        InvalidChildSpec: it is not.
    """
    if value not in allowed:
        refuse(field, " or ".join(map(repr, allowed)), value)


def refuse(field: str, expected: str, got: Any) -> None:
    """Raise ``InvalidChildSpec`` for a wrong flag."""
    raise InvalidChildSpec(f"{field} must be {expected}, got {got!r}")


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


register(ChildSpec, 50)
register(SupFlags, 51)
register(DynamicFlags, 52)
register(ChildInfo, 53)
register(ChildCounts, 54)
register(FailedToStartChild, 55)
register(BadSpec, 56)
register(BadChild, 57)
