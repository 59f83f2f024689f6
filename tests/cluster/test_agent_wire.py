"""What the wire between agents tells its agent, and how."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from foundation.runtime.agent_wire import AgentWire


def test_a_lost_peer_is_reported_outside_any_task() -> None:
    """The agent runs processes of its host then, and a task cannot run inside another."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        peer = f"127.0.0.1:{sock.getsockname()[1]}"  # bound, but nobody listens

    async def main() -> Any:
        wire = AgentWire.__new__(AgentWire)
        told = asyncio.get_running_loop().create_future()
        wire._knocking = {}
        wire.on_lost = lambda *lost: told.set_result((*lost, asyncio.current_task()))
        task = asyncio.create_task(wire._knock(peer))
        found = await asyncio.wait_for(told, 10.0)
        await task
        return found

    assert asyncio.run(main()) == (peer, True, None)
