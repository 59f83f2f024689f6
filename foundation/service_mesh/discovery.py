"""Finding services: local reads, which never wait, and waiting for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foundation.cluster import registry as reg
from foundation.cluster.registry import derive
from foundation.facade import send_through, watching
from foundation.service_mesh.arguments import waiting
from foundation.service_mesh.core import instances_of
from foundation.service_mesh.errors import ServiceTimeout
from foundation.service_mesh.metadata import checked
from foundation.service_mesh.values import (
    REGISTRY,
    ServiceInfo,
    capabilities_of,
    check_count,
    check_name,
    check_seconds,
    is_service,
)
from foundation.service_mesh.waiter import await_instances

CRITERIA = ("name", "capabilities", "node", "metadata", "healthy", "where")
NONE: tuple[str, ...] = ()  # no capabilities are required; what else is passed is looked at


def discover_services(
    name: str | None = None,
    capabilities: Sequence[str] = NONE,
    node: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    healthy: bool | None = True,
    where: Callable[[ServiceInfo], Any] | None = None,
    **unknown: Any,
) -> list[ServiceInfo]:
    """Return the instances that fit all criteria, sorted by name and pid.

    What this does: reads the registry ``"foundation.services"`` as this host sees it; it never
    waits. With a *name* it is a look-up by key, whose result is kept until the registry has
    changed; without, it goes through all entries. ``discover`` is another name for it.

    Equivalent direct messages::

        from foundation.cluster.registry import ANY, select
        from foundation.service_mesh import ServiceInfo, is_service

        rows = select(
            "foundation.services",
            key=ANY if name is None else name,
            node=ANY if node is None else node,
            value=is_service,
        )
        found = sorted((ServiceInfo.of(*row) for row in rows), key=lambda i: (i.name, i.pid))
        found = [i for i in found if healthy is None or i.healthy == healthy]
        found = [i for i in found if all(each in i.capabilities for each in capabilities)]
        found = [i for i in found if i.metadata.has(metadata or {})]
        [i for i in found if where is None or where(i)]

    When to bypass: ``registry.lookup("foundation.services", name)`` gives the entries
    themselves, in the order of the nodes and of their registration there.

    Args:
        name: of the service; None is any.
        capabilities: all of them are required.
        node: where it lives; None is any.
        metadata: items that must be among its metadata.
        healthy: True: those whose checks pass, or that have none; False: the others; None: all.
        where: called with a ``ServiceInfo``; true keeps it.
        **unknown: there are no other criteria.

    Raises:
        TypeError: a criterion is unknown, or has a wrong type. None is ever ignored.
        UnknownDistributedRegistry: this node has no service mesh.
    """
    if (
        type(name) is not str
        or not name
        or healthy is not True
        or node is not None
        or metadata is not None
        or where is not None
        or unknown
        or capabilities is not NONE
        or watching.plans
    ):
        return _search(name, capabilities, node, metadata, healthy, where, unknown)
    return [*derive(REGISTRY, name, instances_of).healthy]


discover = discover_services


def _search(
    name: str | None,
    capabilities: Sequence[str],
    node: str | None,
    metadata: Mapping[str, Any] | None,
    healthy: bool | None,
    where: Callable[[ServiceInfo], Any] | None,
    unknown: dict[str, Any],
) -> list[ServiceInfo]:
    _check_criteria(name, node, healthy, where, unknown)
    required = capabilities_of(capabilities)
    wanted = {} if metadata is None else checked("metadata", metadata)
    found = [
        info
        for info in (_of_all() if name is None else _of_name(name))
        if (healthy is None or info.healthy is healthy)
        and (node is None or info.node == node)
        and all(each in info.capabilities for each in required)
        and (not wanted or info.metadata.has(wanted))  # type: ignore[attr-defined]
        and (where is None or where(info))
    ]
    found.sort(key=lambda info: (info.name, info.pid))
    return found


def _of_name(name: str) -> list[ServiceInfo]:
    entries = send_through(reg.lookup, REGISTRY, name)
    return [ServiceInfo.of(name, e.pid, e.value) for e in entries if is_service(e.value)]


def _of_all() -> list[ServiceInfo]:
    rows = send_through(reg.select, REGISTRY, value=is_service)
    return [ServiceInfo.of(*row) for row in rows if type(row[0]) is str]


def _check_criteria(name: Any, node: Any, healthy: Any, where: Any, unknown: Any) -> None:
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise TypeError(
            f"discover_services() got the unknown criterion {names}; criteria are "
            f"{', '.join(CRITERIA)}; other properties belong into metadata= or where="
        )
    if name is not None:
        check_name(name)
    if node is not None and not isinstance(node, str):
        raise TypeError(f"discover_services: node must be the name of a node, got {node!r}")
    if healthy is not None and type(healthy) is not bool:
        raise TypeError(f"discover_services: healthy must be True, False or None, got {healthy!r}")
    if where is not None and not callable(where):
        raise TypeError(f"discover_services: where must be a function, got {where!r}")


def list_services() -> list[str]:
    """Return the names of all services that have an instance, healthy or not, sorted.

    What this does: reads the registry ``"foundation.services"`` as this host sees it.

    Equivalent direct messages::

        from foundation.cluster.registry import select
        from foundation.service_mesh import is_service

        sorted({row[0] for row in select("foundation.services", value=is_service)})

    When to bypass: ``discover_services(healthy=None)`` gives the instances.

    Raises:
        UnknownDistributedRegistry: this node has no service mesh.
    """
    return sorted(dict.fromkeys(info.name for info in _of_all()))


async def wait_for(name: str, timeout: float = 5.0, count: int = 1) -> list[ServiceInfo]:
    """Wait until there are *count* healthy instances of *name*; return all there are then.

    What this does: looks, and when there are too few subscribes to the key *name* of the
    registry ``"foundation.services"``, in a process of its own (``await_instances``), and
    looks again whenever that changes. Nothing is polled.

    Equivalent direct messages::

        from foundation.cluster.registry import lookup, subscribe, unsubscribe
        from foundation.otp import receive
        from foundation.service_mesh import ServiceInfo, is_service

        subscribe("foundation.services", name)
        entries = lookup("foundation.services", name)
        while len([e for e in entries if is_service(e.value) and e.value.healthy]) < count:
            await receive(lambda event: getattr(event, "key", None) == name, timeout=timeout)
            entries = lookup("foundation.services", name)
        unsubscribe("foundation.services", name)
        found = [ServiceInfo.of(name, e.pid, e.value) for e in entries if is_service(e.value)]
        sorted((info for info in found if info.healthy), key=lambda info: info.pid)

    When to bypass: a server that lives long subscribes to the registry, or to the topic
    ``"foundation:events"``, and acts on what it is told.

    Args:
        name: of the service.
        timeout: seconds.
        count: how many.

    Raises:
        BlockingCall: in a plain ``def`` callback.
        ServiceTimeout: there were not enough in time; it says how many there are.
        TypeError, ValueError: an argument is wrong.
        UnknownDistributedRegistry: this node has no service mesh.
    """
    check_name(name)
    check_seconds("wait_for: timeout", timeout)
    check_count("wait_for: count", count)
    waiting(f"wait_for({name!r})")
    found = discover_services(name)
    if len(found) < count:
        found = await send_through(await_instances, name, count, timeout)
    if len(found) < count:
        raise ServiceTimeout(name, count, timeout, len(found))
    return found
