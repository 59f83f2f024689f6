"""The facades: writes of settings, and what is urgent while bulk is under way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.cluster import one_caller
from benchmarks.harness import Effort
from foundation import channels, config
from foundation.cluster.pubsub import lanes, nodes_interested
from foundation.otp import GenServer, call
from foundation.runtime.node import AsyncNode

SETTING = "bench.number"
BLOCK = 1_000_000  # bytes of one bulk message
PERIOD = 0.002  # seconds between control messages
SECONDS = 4.0
LEAST_BLOCKS = 20  # in a second; with fewer there was no stream to be delayed by


class Ear(GenServer):
    """Takes both: how late each control message is, and how many blocks came."""

    async def init(self) -> None:
        """Subscribe."""
        self.late: list[float] = []
        self.blocks = 0
        await channels.subscribe("control")
        await channels.subscribe("data")

    def handle_info(self, message: Any) -> None:
        """Note what came; both nodes are on this machine and have one monotonic clock."""
        if type(message) is float:
            self.late.append(time.monotonic() - message)
        else:
            self.blocks += 1

    def handle_call(self, request: Any, caller: Any) -> tuple[list[float], int]:
        """Say what came."""
        return self.late, self.blocks


class Streamer(GenServer):
    """Sends block after block, as fast as they are taken."""

    async def handle_call(self, request: Any, caller: Any) -> int:
        """Stream for *request* seconds; return how many messages found no room."""
        block = bytes(BLOCK)
        end = time.monotonic() + request
        while time.monotonic() < end:
            channels.broadcast("data", block)
            await channels.drained()
        await channels.drained(below=1)
        return sum(lane.dropped for lane in lanes())


class Pulse(GenServer):
    """Sends control messages from the same host, at a steady pace."""

    async def handle_call(self, request: Any, caller: Any) -> int:
        """Do so for *request* seconds; return how many."""
        count, end = 0, time.monotonic() + request
        while time.monotonic() < end:
            channels.broadcast("control", time.monotonic())
            count += 1
            await asyncio.sleep(PERIOD)
        return count


async def _start_ear() -> Any:
    return await Ear.start(host="w1")


async def _stream_and_pulse(ear: Any, seconds: float) -> tuple[list[float], int]:
    streamer = await Streamer.start_link(host="w1")
    pulse = await Pulse.start_link(host="w1")
    while "n2" not in nodes_interested("foundation:data"):
        await asyncio.sleep(PERIOD)
    dropped, sent = await asyncio.gather(
        call(streamer, seconds, timeout=60), call(pulse, seconds, timeout=60)
    )
    late, blocks = await call(ear, "what came", timeout=60)
    while len(late) < sent:
        late, blocks = await call(ear, "what came", timeout=60)
    if dropped or blocks < LEAST_BLOCKS * seconds:
        raise RuntimeError(f"{blocks} blocks in {seconds} s, {dropped} dropped: no stream")
    return late, blocks


async def config_set(nodes: list[AsyncNode], effort: Effort) -> float:
    """Cluster-wide writes of one process, one after the other, that a majority acknowledges."""
    for node in nodes:
        await node.run(config.declare, SETTING, int, 0)
    return await one_caller(1, lambda number: config.set_cluster_wide(SETTING, number))(
        nodes, effort
    )


async def control_p99_under_bulk(nodes: list[AsyncNode], effort: Effort) -> float:
    """The 99th percentile of the time of a control message from a worker host to one of another
    node, in ms, while the same two hosts exchange blocks of a megabyte on ``data``.
    """
    ear = await nodes[1].run(_start_ear)
    seconds = SECONDS if effort.scale == 1 else 1.0
    late, _ = await nodes[0].run(_stream_and_pulse, ear, seconds)
    return sorted(late)[int(len(late) * 0.99)] * 1000
