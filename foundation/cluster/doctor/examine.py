"""All steps in turn."""

from __future__ import annotations

import asyncio

from foundation.cluster.config import ClusterConfig
from foundation.cluster.discovery import Loopback, format_address
from foundation.cluster.doctor.asking import Answer, advertisement, ask, ask_all, discover
from foundation.cluster.doctor.findings import Finding, ok, problem, warning
from foundation.cluster.doctor.judge import is_this_node, judge, port_held
from foundation.cluster.doctor.local import (
    check_address,
    check_cookie,
    check_multicast,
    port_state,
)
from foundation.cluster.modes import ResolvedCluster
from foundation.cluster.modes.translate import is_remote
from foundation.transport import TransportConfig

NOT_ASKED = "not asked who it is, as there is no cookie"
PATIENCE = 3.0  # seconds that a strategy may take to name somebody


async def examine(
    resolved: ResolvedCluster, cookie: bytes | None = None, patience: float = PATIENCE
) -> list[Finding]:
    """Try each step that a node with these settings takes to find its cluster.

    Args:
        resolved: the settings.
        cookie: of the cluster; None: as a node finds it.
        patience: seconds that each strategy may take to name somebody.

    Returns:
        The outcome of each step, in order; no further ones where one makes no sense without the
        one before.
    """
    config = resolved.config
    found = [_settings(resolved)]
    found += [warning("settings", text, "as it says") for text in resolved.warnings]
    if config is None:
        return found
    finding, known = check_cookie(cookie, config)
    remote = is_remote(resolved.strategy or "", resolved.options)
    found += [finding, *check_address(config, remote)]
    if any(each.check == "bind" and each.status == "problem" for each in found):
        return found
    return found + await _ask_around(resolved, config, known, patience)


def _settings(resolved: ResolvedCluster) -> Finding:
    if resolved.config is None:
        advice = "set FOUNDATION_CLUSTER=true, or a strategy; `foundation config` says what counts"
        return problem("settings", f"no cluster: {resolved.reasons[-1]}", advice)
    text = f"cluster {resolved.config.name!r}, mode {resolved.mode}, strategy {resolved.strategy}"
    return ok("settings", text)


async def _ask_around(
    resolved: ResolvedCluster,
    config: ClusterConfig,
    cookie: bytes | None,
    patience: float,
) -> list[Finding]:
    transport = None if cookie is None else _transport(config, cookie)
    own = format_address(config.advertise or config.bind, config.port) if config.port else None
    node = resolved.node_name
    strategies = (Loopback(),) if config.strategies is None else config.strategies
    finding, holder = await _check_port(config, node, transport)
    found = [finding]
    if holder is not None and is_this_node(config, node, holder):
        own = holder.members.get(holder.node, own)  # as the others know it
    found += await asyncio.to_thread(check_multicast, strategies)
    me = advertisement(config)
    outcomes = await asyncio.gather(*(discover(each, me, patience) for each in strategies))
    addresses = dict.fromkeys(address for _, named in outcomes for address in named)
    found += _discovered([finding for finding, _ in outcomes], bool(addresses))
    if transport is None:
        return found + [ok(f"candidate {each}", NOT_ASKED) for each in addresses]
    findings, answers = await ask_all(addresses, transport, own)
    return [*found, *findings, *judge(config, node, own, _once(answers))]


def _transport(config: ClusterConfig, cookie: bytes) -> TransportConfig:
    return TransportConfig(
        cookie=cookie,  # whether it is good for the address that nodes listen at, was said before
        bind_host=config.bind,
        advertise_host=config.advertise,
        unix=False,
    )


def _discovered(outcomes: list[Finding], somebody: bool) -> list[Finding]:
    """One strategy that names somebody is enough; the others are then no problem."""
    return [
        warning(each.check, each.text, each.advice)
        if somebody and each.status == "problem"
        else each
        for each in outcomes
    ]


async def _check_port(
    config: ClusterConfig, node: str | None, transport: TransportConfig | None
) -> tuple[Finding, Answer | None]:
    """Return what there is to say of the port, and what the node that holds it has answered."""
    state, text = port_state(config)
    if state == "free":
        return ok("port", text), None
    if state == "denied":
        advice = "choose another (FOUNDATION_CLUSTER_PORT); 0 takes a free one"
        return problem("port", text, advice), None
    if transport is None:
        advice = "mend the cookie, then run this again"
        return warning("port", f"{text}; {NOT_ASKED}", advice), None
    host = transport.host if config.bind == "0.0.0.0" else config.bind
    finding, answer = await ask(format_address(host, config.port), transport, None)
    if answer is not None:
        return port_held(config, node, answer), answer
    advice = "stop what listens there, or choose another (FOUNDATION_CLUSTER_PORT)"
    text = f"{text}, and not by a node of this cluster: {finding.text}"
    return problem("port", text, advice), None


def _once(answers: list[Answer]) -> list[Answer]:
    """Return one answer per node: some are found under several addresses."""
    return list({(each.told["cluster"], each.node): each for each in answers}.values())
