"""The doctor at nodes that run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import foundation
from foundation.cluster import ClusterConfig, await_cluster, nodes
from foundation.cluster.discovery import StaticList
from foundation.cluster.doctor import Finding, examine
from foundation.cluster.modes import resolve
from tests.cluster.real.kit import free_port

pytestmark = pytest.mark.real
COOKIE = "a cookie of this test, long enough"


def examined(
    cookie: str = COOKIE, node: str | None = None, **config: Any
) -> dict[str, Finding]:
    resolved = replace(resolve({}, ClusterConfig(**config)), node_name=node)
    found = asyncio.run(examine(resolved, cookie.encode(), 0.5))
    return {each.check: each for each in found}


def test_what_keeps_a_node_from_joining_two_others(bare: Path) -> None:
    ports = free_port(), free_port()
    addresses = [f"127.0.0.1:{port}" for port in ports]
    there = StaticList(addresses)

    def config(port: int) -> ClusterConfig:
        return ClusterConfig(name="shop", port=port, strategies=(there,), expected_size=3)

    async def formed() -> tuple[str, ...]:
        await await_cluster(2)
        return nodes()

    with (
        foundation.start(None, name="a", hosts=1, cluster=config(ports[0]), cookie=COOKIE) as a,
        foundation.start(None, name="b", hosts=1, cluster=config(ports[1]), cookie=COOKIE) as b,
    ):
        assert a.run(formed) == b.run(formed) == ("a", "b")
        base: dict[str, Any] = {"name": "shop", "strategies": (there,), "expected_size": 3}

        found = examined(**base)
        assert not [each for each in found.values() if each.status != "ok"]
        assert "node 'a' of cluster 'shop' answers" in found[f"candidate {addresses[0]}"].text

        # Asking made nobody a member.
        assert a.run(formed) == ("a", "b")

        found = examined("another cookie, as long as that", **base)
        for address in addresses:
            assert found[f"candidate {address}"].status == "problem"
            assert "wrong cookie" in found[f"candidate {address}"].text
        assert found["size"].status == "problem"

        found = examined(**{**base, "name": "other"})
        assert found["cluster name"].status == "problem"
        assert "'shop'" in found["cluster name"].text

        found = examined(**{**base, "expected_size": 5})
        assert found["settings"].status == "problem"
        assert "expected_size is 3 there and 5 here" in found["settings"].text
        assert found["size"].status == "problem"

        # The node itself, which runs already.
        found = examined(**base, port=ports[0], node="a")
        assert not [each for each in found.values() if each.status == "warning"]
        assert found["port"].status == "ok"
        assert "node 'a'" in found["port"].text
        assert found["size"].text == "3 nodes are expected, and there are 2 (found a, b)"
        assert "node name" not in found

        # One whose name nobody has said, which may be that node; and one that is another.
        assert examined(**base, port=ports[0])["port"].status == "warning"
        found = examined(**base, port=ports[0], node="c")
        assert found["port"].status == "problem"
        assert "node 'a' of cluster 'shop' answers, and this one is 'c'" in found["port"].text

        # One of the same name elsewhere.
        found = examined(**base, port=free_port(), node="a")
        assert found["port"].status == "ok"
        assert found["node name"].status == "problem"
        assert addresses[0] in found["node name"].text
