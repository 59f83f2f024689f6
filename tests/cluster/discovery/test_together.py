"""The runner with real strategies, on a real loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from foundation.cluster.discovery import (
    Advertisement,
    Discovery,
    Loopback,
    StaticList,
    Strategy,
    UdpGossip,
)
from foundation.testing import eventually
from foundation.testing.system_leaks import SystemState, system_leaks


def test_each_node_finds_each_other_one_by_each_strategy(
    tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    ports = free_ports(3)
    before = SystemState.now()

    def strategies(port: int) -> list[Strategy]:
        targets = [f"127.0.0.1:{each}" for each in ports]
        return [
            Loopback(tmp_path / "rendezvous"),
            UdpGossip("a secret of the tests", port, targets, "127.0.0.1", interval=0.1),
            StaticList(["127.0.0.1:6001", "127.0.0.1:6002", "127.0.0.1:6003"]),
        ]

    async def body() -> None:
        nodes = []
        found: list[set[str]] = []
        logged: list[str] = []
        for n, port in enumerate(ports, 1):
            got: set[str] = set()
            node = Discovery(
                strategies(port),
                Advertisement("shop", f"n{n}", f"127.0.0.1:600{n}"),
                got.update,
                rng=random.Random(n),
                interval=0.1,
                log=lambda level, text: logged.append(text),
            )
            nodes.append(node)
            found.append(got)
            await node.start()
        await eventually(
            lambda: all(len(s.last_found) == 2 for node in nodes for s in node.status())
        )
        assert [sorted(address[-1] for address in got) for got in found] == [
            ["2", "3"],
            ["1", "3"],
            ["1", "2"],
        ]
        for node in nodes:
            assert all(counts["errors"] == 0 for counts in node.counters.values())
            await node.close()
        # As nodes close one after the other, others may find nobody any more; no more than that.
        assert [text for text in logged if "nobody is dropped" not in text] == []

    asyncio.run(body())
    assert system_leaks(before) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
