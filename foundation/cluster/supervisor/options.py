"""What can be said of a distributed child beyond its spec, and the records made of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from foundation.cluster.supervisor.ids import is_text, key_of
from foundation.cluster.supervisor.packing import pack_spec
from foundation.cluster.supervisor.records import Record
from foundation.cluster.values import labels_of
from foundation.errors import InvalidChildSpec
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.otp.supervision import check_limits

MINORITY = ("stop", "keep")


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """See ``start_child`` and ``child``; None is the supervisor's own.

    Attributes:
        labels: that the node must have.
        every_node: one on each eligible node.
        partitions: so many, with ids ``(id, 0)`` …
        on_minority: ``"stop"`` or ``"keep"``.
        limits: ``(max_restarts, max_seconds)``.
        ship: its class travels by value.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    every_node: bool = False
    partitions: int | None = None
    on_minority: str | None = None
    limits: tuple[int, float] | None = None
    ship: bool = False

    def __post_init__(self) -> None:
        _check_labels(self.labels)
        if self.on_minority is not None:
            check_minority(self.on_minority)
        count = self.partitions
        if count is not None and (type(count) is not int or count < 1):
            raise InvalidChildSpec(f"partitions must be 1 or more, got {count!r}")
        if count is not None and self.every_node:
            raise InvalidChildSpec("a child has partitions or is on every node, not both")
        if self.limits is not None:
            check_limits(*self.limits)


@dataclass(frozen=True, slots=True)
class OptionedChild:
    """A child with options, for ``children=[…]``; made by ``child``."""

    spec: ChildSpec
    id: Any
    options: ChildOptions


def child(
    spec: Any,
    *,
    id: Any = None,
    labels: Mapping[str, str] | None = None,
    every_node: bool = False,
    partitions: int | None = None,
    on_minority: str | None = None,
    max_restarts: int | None = None,
    max_seconds: float = 5.0,
    ship: bool = False,
) -> OptionedChild:
    """Return *spec* with options, for ``children=[…]`` of a distributed supervisor.

    Args: as ``start_child``.
    """
    limits = None if max_restarts is None else (max_restarts, max_seconds)
    asked = {} if labels is None else labels
    options = ChildOptions(asked, every_node, partitions, on_minority, limits, ship)
    return OptionedChild(to_spec(spec), id, options)


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, Mapping):
        raise InvalidChildSpec(f"labels must be a dict of strings, got {labels!r}")
    for part in (*labels.keys(), *labels.values()):
        if not isinstance(part, str) or not is_text(part):
            raise InvalidChildSpec(f"labels must be a dict of strings, got {part!r} in {labels!r}")


def check_minority(value: Any) -> None:
    """Raise InvalidChildSpec unless *value* is a policy."""
    if value not in MINORITY:
        raise InvalidChildSpec(f"on_minority must be 'stop' or 'keep', got {value!r}")


def records_of(one: Any, defaults: ChildOptions) -> list[tuple[bytes, Record]]:
    """Return what is wanted for a child of ``children=[…]``."""
    if isinstance(one, OptionedChild):
        return records(one.spec, declared_id(one.spec, one.id), one.options, defaults)
    spec = to_spec(one)
    return records(spec, declared_id(spec, None), ChildOptions(), defaults)


def declared_id(spec: ChildSpec, id: Any) -> Any:
    """Return the id of a declared child: of a class, its name, the same on every node."""
    found = spec.id if id is None else id
    if found is spec.start[0]:
        return f"{found.__module__}.{found.__qualname__}"
    return found


def records(
    spec: ChildSpec, id: Any, options: ChildOptions, defaults: ChildOptions
) -> list[tuple[bytes, Record]]:
    """Return the keys and records of a child: one, or one for each partition.

    Raises:
        InvalidChildSpec: the spec says what means nothing here, or its class cannot move.
        TypeError, ValueError: the id is not plain data.
        Unsendable: an argument cannot travel, or the spec is too large.
    """
    if spec.significant:
        raise InvalidChildSpec(
            f"child {id!r} is significant, which means nothing under a distributed supervisor"
        )
    target = spec.start[0]
    if inspect.iscoroutinefunction(getattr(target, "export_state", None)):
        raise InvalidChildSpec(
            f"export_state of {target.__qualname__} is async def, and must be a plain def: nothing "
            "may happen between the export and the end; import_state may be either"
        )
    key = key_of(id)
    record = Record(
        version=(0, ""),
        spec=b"",
        restart=spec.restart,
        labels=labels_of(dict(options.labels)),
        every_node=options.every_node,
        on_minority=options.on_minority or defaults.on_minority or "keep",
        limits=options.limits or defaults.limits or (3, 5.0),
        shipped=options.ship,
    )
    if options.partitions is None:
        return [(key, replace(record, spec=pack_spec(spec, options.ship)))]
    return [
        (
            key_of((id, number)),
            replace(record, spec=pack_spec(_part(spec, number), options.ship), group=key),
        )
        for number in range(options.partitions)
    ]


def _part(spec: ChildSpec, number: int) -> ChildSpec:
    """Return the spec of one partition, which gets its number as ``partition=``."""
    target, args, kwargs = spec.start
    name = spec.name if spec.name is None else (spec.name, number)
    return replace(spec, start=(target, args, {**kwargs, "partition": number}), name=name)
