"""Children that run twice, as the tables of this host say; looked at twice.

While a child moves, news of two nodes may overtake each other for some milliseconds. So only
what is still there at the second look, with the same processes, counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from foundation.cluster.supervisor import (
    ChildState,
    UnknownSupervisor,
    wanted_children,
    which_children,
)
from foundation.facade import send_through
from foundation.kernel.values import Pid

AGAIN_SECONDS = 0.25

Twice = dict[object, tuple[Pid, ...]]


def twice(children: Iterable[ChildState], every_node: Iterable[object]) -> Twice:
    """Return the pids of the children that run on several nodes and are not meant to. Pure."""
    everywhere = dict.fromkeys(every_node)
    running: dict[object, dict[Pid, None]] = {}
    for child in children:
        if child.status == "running" and child.pid is not None and child.id not in everywhere:
            running.setdefault(child.id, {})[child.pid] = None
    return {id: tuple(pids) for id, pids in running.items() if len(pids) > 1}


async def _look(supervisors: list[str]) -> dict[tuple[str, object], tuple[Pid, ...]]:
    found: dict[tuple[str, object], tuple[Pid, ...]] = {}
    for name in supervisors:
        try:
            everywhere = [w.id for w in await send_through(wanted_children, name) if w.every_node]
            for id, pids in twice(send_through(which_children, name), everywhere).items():
                found[(name, id)] = pids
        except UnknownSupervisor:
            continue
    return found


async def find_duplicates(supervisors: list[str]) -> tuple[str, ...]:
    """Return what runs twice, as ``"supervisor: id"``."""
    first = await _look(supervisors)
    if not first:
        return ()
    await asyncio.sleep(AGAIN_SECONDS)
    second = await _look(supervisors)
    return tuple(
        f"{supervisor}: {id!r}"
        for (supervisor, id), pids in second.items()
        if first.get((supervisor, id)) == pids
    )
