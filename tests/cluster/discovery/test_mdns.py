"""Discovery by multicast DNS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foundation.cluster.discovery import Advertisement, MulticastDNS
from foundation.testing import eventually

TYPE = f"_fnd-{os.urandom(4).hex()}._tcp.local."


async def started(me: Advertisement, found: Callable[[Any], None]) -> MulticastDNS:
    strategy = MulticastDNS(interfaces=["127.0.0.1"], service_type=TYPE)
    await strategy.start(me, found)
    return strategy


def answers(strategy: MulticastDNS, expected: list[str]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return list(await strategy.discover()) == expected

    return answer


def test_others_are_pushed_and_goodbyes_are_heard(multicast: None) -> None:
    async def body() -> None:
        pushed: list[str] = []
        a = await started(Advertisement("shop", "a", "127.0.0.1:5001"), pushed.extend)
        # A host name instead of an address, an odd name, and another cluster.
        b = await started(Advertisement("shop", "b.ä\n" + "x" * 99, "web-1:5002"), lambda _: None)
        c = await started(Advertisement("other", "c", "127.0.0.1:5003"), lambda _: None)
        await eventually(lambda: "web-1:5002" in pushed)
        await eventually(answers(a, ["web-1:5002"]))
        await eventually(answers(b, ["127.0.0.1:5001"]))
        await b.close()
        await eventually(answers(a, []))
        assert set(pushed) == {"web-1:5002"}
        assert list(await c.discover()) == []
        await a.close()
        await c.close()

    asyncio.run(body())


def test_a_name_that_does_not_fit_a_record_is_refused() -> None:
    async def body() -> None:
        with pytest.raises(ValueError, match=r"the cluster 'cccc.* is too long"):
            await started(Advertisement("c" * 300, "a", "127.0.0.1:5001"), print)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"interfaces": []}, "must be a list"),
        ({"interfaces": "127.0.0.1"}, "must be a list"),
        ({"interfaces": ["lo"]}, "'lo' is not an IP address"),
        ({"service_type": "_foundation"}, "service_type"),
        ({"service_type": "_a-name-that-is-too-long._tcp.local."}, "service_type"),
        ({"service_type": "_a._sctp.local."}, "service_type"),
        ({"service_type": None}, "service_type"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MulticastDNS(**options)
