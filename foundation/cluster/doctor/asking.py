"""Running the discovery once, and asking those whom it names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.cluster.discovery import Advertisement, canonical, format_address
from foundation.cluster.doctor.findings import Finding, ok, problem
from foundation.cluster.looking import QUESTION, parse
from foundation.runtime.agent_dial import ask_agent
from foundation.transport import TransportConfig

STEP_SECONDS = 2.0  # for each step of asking a candidate
CALL_SECONDS = 10.0  # for a call of a strategy, as in ``Discovery``
POLL_SECONDS = 0.25
AT_ONCE = 32  # candidates that are asked side by side
MOST_CANDIDATES = 1000

ADVICE = {
    "static": "list the address and port of each node in static_hosts (FOUNDATION_STATIC_HOSTS)",
    "dns": "look the name up by `getent hosts NAME`; it should have an A record for each node",
    "kubernetes": "is the service headless (clusterIP: None), with publishNotReadyAddresses: true, "
    "and does its selector match the pods? kubectl get endpoints SERVICE",
    "gossip": "start another node; all need the same gossip_secret, cluster name and port, in one "
    "network with multicast, or targets",
    "mdns": "start another node; all need the same cluster name, in one network with multicast",
    "loopback": "start another node of this user on this machine, with the same cluster name",
}

MEND = {  # what to do where a strategy does not even work
    "gossip": "does another program hold the UDP port, or is the interface none of this machine's? "
    "see gossip_port and gossip_interface (FOUNDATION_GOSSIP_PORT, FOUNDATION_GOSSIP_INTERFACE)",
    "mdns": "see mdns_interfaces (FOUNDATION_MDNS_INTERFACES), and whether this machine has a "
    "network with multicast",
    "loopback": "have a directory that belongs to this user, can be written and is private (chmod "
    "700), or name another one, the same for all nodes (FOUNDATION_LOOPBACK_DIRECTORY)",
}


@dataclass(frozen=True)
class Answer:
    """What one node has said: see ``looking.answer``."""

    address: str
    told: Mapping[str, Any]

    @property
    def node(self) -> str:
        """Its name."""
        return str(self.told["node"])

    @property
    def members(self) -> Mapping[str, str]:
        """Names and addresses of those whom it knows, itself included."""
        members: Mapping[str, str] = self.told["members"]
        return members


def advertisement(config: ClusterConfig) -> Advertisement:
    """Return how the doctor announces itself: at an address where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((config.bind, 0))
        port = probe.getsockname()[1]
    host = config.advertise or config.bind
    return Advertisement(config.name, f"doctor-{os.getpid()}", format_address(host, port))


async def discover(
    strategy: Any, me: Advertisement, seconds: float
) -> tuple[Finding, tuple[str, ...]]:
    """Run *strategy* until it names nobody new, for at most *seconds*; return whom it named."""
    check = f"discovery: {strategy.name}"
    advice = ADVICE.get(strategy.name, "see what the strategy needs")
    found: dict[str, None] = {}
    try:
        await _run(strategy, me, seconds, found)
    except Exception as error:
        text = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = f"no answer in {CALL_SECONDS:g} s"
        return problem(check, text, MEND.get(strategy.name, advice)), tuple(found)
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CALL_SECONDS):
                await strategy.close()
    if not found:
        return problem(check, f"it works, and has named nobody in {seconds:g} s", advice), ()
    named = ", ".join(list(found)[:20])
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    return ok(check, f"names {named}{more}"), tuple(found)


async def _run(
    strategy: Any, me: Advertisement, seconds: float, found: dict[str, None]
) -> None:
    def take(addresses: Iterable[str]) -> None:
        for each in addresses:
            with contextlib.suppress(ValueError):
                address = canonical(each)
                if address != me.address and len(found) < MOST_CANDIDATES:
                    found[address] = None

    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with asyncio.timeout(CALL_SECONDS):
        await strategy.start(me, take)
    while True:
        before = len(found)
        async with asyncio.timeout(CALL_SECONDS):
            take(await strategy.discover())
        if before == len(found) > 0 or loop.time() >= deadline:
            return
        await asyncio.sleep(POLL_SECONDS)


async def ask_all(
    addresses: Iterable[str], config: TransportConfig, own: str | None
) -> tuple[list[Finding], list[Answer]]:
    """Ask all of *addresses*; *own* is where this node would be."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(address: str) -> tuple[Finding, Answer | None]:
        async with gate:
            return await ask(address, config, own)

    outcomes = await asyncio.gather(*(one(address) for address in addresses))
    answers = [answer for _, answer in outcomes if answer is not None]
    return [finding for finding, _ in outcomes], answers


async def ask(
    address: str, config: TransportConfig, own: str | None
) -> tuple[Finding, Answer | None]:
    """Ask the node at *address* who it is."""
    check = f"candidate {address}"
    dialled = await ask_agent(address, QUESTION, config, STEP_SECONDS)
    if dialled.step == "done":
        try:
            answer = Answer(address, parse(dialled.answer))
        except ValueError as error:
            advice = "run the same version of foundation on all nodes"
            return problem(check, f"its answer is not understood: {error}", advice), None
        told = answer.told
        text = f"node {answer.node!r} of cluster {told['cluster']!r} answers"
        return ok(check, text), answer
    if address == own and dialled.step == "connect":
        return ok(check, "that is this node, which does not run"), None
    return problem(check, f"{_FAILED[dialled.step]}: {dialled.text}", _REMEDY[dialled.step]), None


_FAILED = {
    "resolve": "its host name has no IPv4 address",
    "connect": "TCP does not reach it",
    "protocol": "somebody else listens there",
    "cookie": "wrong cookie",
    "answer": "no answer",
}
_REMEDY = {
    "resolve": "mend the name, or use an IPv4 address",
    "connect": "does the node run, listen at an address that is reached from here (bind), and "
    "advertise that one? does a firewall or a network policy drop the port?",
    "protocol": "is that the cluster port of a node, and not its admin port or another service?",
    "cookie": "give all nodes the same cookie (FOUNDATION_COOKIE, FOUNDATION_COOKIE_FILE)",
    "answer": "is it stopped, very busy, of an older version, or is that the port of another of "
    "its processes?",
}
