"""What the facades of a node say of themselves, as parts of the picture.

A part is a function of the number of lines that it may return; ``def`` or ``async def``, run in
a process of a worker host. Its result becomes plain data. ``add`` adds one; those of the facades
are here, and use what any process may use. What a node does not run is left out.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import json
from collections.abc import Callable
from typing import Any

from foundation.errors import NoProc
from foundation.kernel.ops import current, whereis
from foundation.observer.plain import plain, shown

PART_SECONDS = 1.0  # that one part may take
HEALTH_SECONDS = 5.0  # that a judgement of the health monitor serves

Source = Callable[[int], Any]


class Absent(Exception):
    """This node does not run what the part is about."""


_parts: dict[str, Source] = {}
_reports: list[tuple[float, Any]] = []  # the latest judgement, and when it was made


def add(name: str, part: Source) -> None:
    """Have the picture contain what *part* returns, under *name*, in this interpreter's host.

    Args:
        name: of the part; one of that name is replaced.
        part: gets the number of lines that it may return; may be ``async def``; raises ``Absent``
            when there is nothing to say.
    """
    _parts[name] = part


async def collect(rows: int) -> str:
    """Return all parts as JSON. One that fails, or takes too long, says so in its place."""
    names = list(_parts)
    values = await asyncio.gather(*(_value(_parts[name], rows) for name in names))
    found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return json.dumps(found)


async def _value(part: Source, rows: int) -> Any:
    try:
        async with asyncio.timeout(PART_SECONDS):
            value = part(rows)
            if inspect.isawaitable(value):
                value = await value
    except (Absent, NoProc):
        return None
    except TimeoutError:
        return {"error": f"it did not answer in {PART_SECONDS} s"}
    except Exception as error:  # the other parts are no worse for it
        return {"error": shown(error)}
    return plain(value, rows)


def _package(name: str, server: str | None = None) -> Any:
    """Return a package of a facade.

    Raises:
        Absent: it is not installed, or its *server* does not run on this node.
    """
    if server is not None and whereis(server) is None:
        raise Absent
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise Absent from None


def services(rows: int) -> Any:
    """Return the instances of all services, those that are unhealthy first.

    Each host has its own circuit breakers; ``breaker`` is that of this one, ``breakers_of``.
    """
    mesh = _package("foundation.service_mesh", "foundation.service_mesh")
    found = mesh.discover_services(healthy=None)
    broken = mesh.breaker_states()
    found = sorted(found, key=lambda info: info.healthy)  # a stable sort
    lines = [
        {
            "name": info.name,
            "instance": info.instance,
            "pid": info.pid,
            "node": info.node,
            "capabilities": list(info.capabilities),
            "metadata": info.metadata,
            "healthy": info.healthy,
            "breaker": str(broken.get(info.pid, "closed")),
        }
        for info in found[:rows]
    ]
    return {
        "count": len(found),
        "unhealthy": sum(not i.healthy for i in found),
        "breakers_of": current().kernel.address,
        "lines": lines,
    }


def channels(rows: int) -> Any:
    """Return the channels; their subscribers are in the parts of the cluster."""
    package = _package("foundation.channels", "foundation.channels")
    found = package.channels()
    return {"count": len(found), "lines": found[:rows], "middleware": package.installed()}


async def health(rows: int) -> Any:
    """Return the judgement of the health monitor, and the numbers that it is about.

    They are measured for it, on all nodes, so an older one serves for ``HEALTH_SECONDS``.
    """
    return _judgement(await _report())


async def _report() -> Any:
    now = current().kernel.driver.now()
    if not _reports or now - _reports[0][0] >= HEALTH_SECONDS:
        package = _package("foundation.health_monitor", "foundation.health_monitor")
        report = await package.cluster_health(timeout=0.8 * PART_SECONDS)
        _reports[:] = [(now, report)]
    return _reports[0][1]


def _judgement(report: Any) -> Any:
    told = ("status", "cluster", "services", "infrastructure", "score", "reasons")
    judged = {name: getattr(report, name) for name in (*told, "recommendations")}
    names = [field.name for field in dataclasses.fields(report.metrics)]
    numbers = {name: getattr(report.metrics, name) for name in names}
    simple = {n: v for n, v in numbers.items() if v is None or isinstance(v, (int, float, str))}
    return {**judged, "metrics": simple}


async def metrics() -> str:
    """Return the metrics of the health monitor as Prometheus text; ``""`` when there are none."""
    try:
        package = _package("foundation.health_monitor", "foundation.health_monitor")
        return str(package.exposition(await package.cluster_health()))
    except (Absent, NoProc):
        return ""


async def advice(rows: int) -> Any:
    """Return what the optimizer recommends, and what it did."""
    package = _package("foundation.optimizer", "foundation.optimizer")
    found = package.recommendations()
    lines = list(await found if inspect.isawaitable(found) else found)
    return {"count": len(lines), "lines": lines[:rows]}


for _part in (services, channels, health, advice):
    add(_part.__name__, _part)
