"""Asking the scope servers of several nodes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from foundation.errors import AlreadyStarted, CallExit, NoProc, ScopeError, StartError
from foundation.facade import send_through
from foundation.kernel.ops import call_from_task, current
from foundation.scope.messages import SERVER, VISITOR, Busy, NodeReport
from foundation.scope.spans import hushed

HOST_SECONDS = 4.0  # that the hosts of a node have to begin, join and end
NODE_SECONDS = HOST_SECONDS + 1.0  # that a node has


async def ask_nodes(nodes: Iterable[str], request: Any, timeout: float) -> dict[str, Any]:
    """Return what the scope server of each of *nodes* answers, or the error."""
    names = list(nodes)
    with hushed():
        answers = await asyncio.gather(*(_ask_node(name, request, timeout) for name in names))
    return dict(zip(names, answers, strict=True))


async def _ask_node(node: str, request: Any, timeout: float) -> Any:
    process = current()
    kernel = process.kernel
    try:
        async with asyncio.timeout(timeout):
            for last in (False, True):
                server = await _server(node)
                try:
                    return await send_through(
                        call_from_task, kernel, process.pid, server, request, timeout
                    )
                except NoProc:  # it has ended, as it does when nothing is traced
                    if last:
                        raise
    except (CallExit, StartError) as error:
        return error
    except TimeoutError:
        return ScopeError(f"no answer within {timeout:g} s")


async def _server(node: str) -> Any:
    """Return the scope server of *node*, started if need be."""
    kernel = current().kernel
    here = node == kernel.address.partition("/")[0]
    for name in (SERVER, VISITOR):
        pid = kernel.resolve(name if here else (name, node))
        if pid is not None:
            return pid
    from foundation.scope.server import Scope

    authority = kernel.names.authority or kernel.address
    try:
        return await Scope.start(
            False, name=VISITOR, host=authority if here else f"{node}/control"
        )
    except AlreadyStarted as error:
        return error.pid


def sorted_out(answers: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the hosts of several nodes answered, and who did not, and why."""
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for node, answer in answers.items():
        if isinstance(answer, NodeReport):
            found |= answer.found
            missing |= answer.missing
        elif not isinstance(answer, Busy):
            missing[node] = str(answer)
    return found, missing
