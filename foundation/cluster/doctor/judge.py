"""What the answers of the nodes mean together; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foundation.cluster.agent import PROTOCOL
from foundation.cluster.config import ClusterConfig
from foundation.cluster.doctor.asking import Answer
from foundation.cluster.doctor.findings import Finding, ok, problem, warning
from foundation.cluster.membership.joining import common_version


def judge(
    config: ClusterConfig, node: str | None, own: str | None, answers: Sequence[Answer]
) -> list[Finding]:
    """Return what follows for a node of *config*.

    Args:
        config: of the node that is to join.
        node: its name; None: one that is made at its start.
        own: ``"host:port"`` of it; None: not known beforehand.
        answers: of all nodes that were found.
    """
    ours = [each for each in answers if each.told["cluster"] == config.name]
    found = [*_clusters(config, answers), *_versions(answers)]
    if ours:
        found += _terms(config, ours)
        found += _names(node, own, ours)
        found += _agreement(ours)
    return [*found, *_size(config, node, own, ours)]


def is_this_node(config: ClusterConfig, node: str | None, answer: Answer) -> bool:
    """Whether *answer* is that of the node *node* itself, which runs already."""
    return (answer.told["cluster"], answer.node) == (config.name, node)


def port_held(config: ClusterConfig, node: str | None, answer: Answer) -> Finding:
    """Return what it means that the node of *answer* holds the port of this one.

    Args:
        config: of the node that is to join.
        node: its name; None: one that is made at its start.
        answer: of the node at the port.
    """
    cluster = answer.told["cluster"]
    text = f"in use: node {answer.node!r} of cluster {cluster!r} answers"
    if is_this_node(config, node, answer):
        return ok("port", f"{text}, which is this one")
    advice = (
        "choose another port (FOUNDATION_CLUSTER_PORT; 0 takes a free one), or stop that node"
    )
    if node is None and cluster == config.name:
        return warning("port", text, f"if that is this node, all is well; else {advice}")
    this = "this one has no name yet" if node is None else f"this one is {node!r}"
    return problem("port", f"{text}, and {this} of cluster {config.name!r}", advice)


def _clusters(config: ClusterConfig, answers: Sequence[Answer]) -> list[Finding]:
    return [
        problem(
            "cluster name",
            f"node {each.node!r} at {each.address} is of cluster {each.told['cluster']!r}, and "
            f"this one of {config.name!r}",
            "set the same name (FOUNDATION_CLUSTER_NAME, or FOUNDATION_APP_NAME) on all nodes",
        )
        for each in answers
        if each.told["cluster"] != config.name
    ]


def _versions(answers: Sequence[Answer]) -> list[Finding]:
    found = []
    for each in answers:
        lowest, highest = each.told["versions"]
        if common_version(PROTOCOL, (lowest, highest)) is None:
            text = (
                f"node {each.node!r} speaks versions {lowest} to {highest} of the protocol, this "
                f"one {PROTOCOL[0]} to {PROTOCOL[1]}"
            )
            found.append(problem("protocol", text, "upgrade the older one step by step"))
    return found


def _own_terms(config: ClusterConfig) -> dict[str, Any]:
    timing = config.timing
    return {
        "expected_size": config.expected_size,
        "lease": float(timing.lease),
        "takeover": float(timing.takeover),
    }


def _terms(config: ClusterConfig, ours: Sequence[Answer]) -> list[Finding]:
    mine, found = _own_terms(config), []
    for each in ours:
        theirs: Mapping[str, Any] = each.told["terms"]
        different = [
            f"{key} is {theirs.get(key)!r} there and {value!r} here"
            for key, value in mine.items()
            if theirs.get(key) != value
        ]
        if different:
            text = f"node {each.node!r} has other settings: {', '.join(different)}"
            advice = "make them equal; until then nothing with on_minority='stop' runs"
            found.append(problem("settings", text, advice))
    return found


def _names(node: str | None, own: str | None, ours: Sequence[Answer]) -> list[Finding]:
    if node is None:
        return []
    for each in ours:
        address = each.members.get(node)
        if address is None or address == own:
            continue
        text = f"the name {node!r} is that of the member at {address}"
        if own is None:  # the port is taken at the start
            advice = f"if that is this node, all is well; else {_RENAME}"
            return [warning("node name", text, advice)]
        advice = f"{_RENAME}; one that has just stopped is forgotten soon"
        return [problem("node name", f"{text}, and this one is at {own}", advice)]
    return []


_RENAME = "give this one another name (FOUNDATION_NODE_NAME), or stop that one"


def _agreement(ours: Sequence[Answer]) -> list[Finding]:
    found = []
    for each in ours:
        if each.told["refused"]:
            text = f"node {each.node!r}: {each.told['refused']}"
            found.append(problem("admission", text, "do what it says there"))
        elif not each.told["settled"]:
            text = f"node {each.node!r} and its members do not agree yet on who is there"
            advice = "wait a moment; if that stays, some cannot reach each other"
            found.append(warning("agreement", text, advice))
    apart = [
        (a.node, b.node)
        for a in ours
        for b in ours
        if a.node < b.node and (b.node not in a.members or a.node not in b.members)
    ]
    for one, other in apart:
        text = f"nodes {one!r} and {other!r} answer here, and are not in one cluster"
        advice = "can they reach each other? run `foundation doctor` on both machines"
        found.append(problem("agreement", text, advice))
    return found


def _size(
    config: ClusterConfig, node: str | None, own: str | None, ours: Sequence[Answer]
) -> list[Finding]:
    members: dict[str, str] = {}
    for each in ours:
        members.update(each.members)
    running = own in members.values() or (node is not None and node in members)
    count = len(members) if running or not ours else len(members) + 1
    names = ", ".join(sorted(members)) or "nobody"
    whole = f"found {names}" + ("" if running else "; this node would be one more")
    expected = config.expected_size
    if not members:
        text, advice = "no node of this cluster was found", "see above, or start another node"
        return [] if expected == 1 else [problem("size", text, advice)]
    if expected is None:
        return [ok("size", f"{whole}. No size is expected (FOUNDATION_EXPECTED_NODES)")]
    if count < expected:
        text = f"{expected} nodes are expected, and there are {count} ({whole})"
        return [problem("size", text, "start the others, and run the doctor there")]
    if count > expected:
        text = f"{expected} nodes are expected, and there are {count} ({whole})"
        advice = "set expected_size to that on all nodes, or two halves may both be a majority"
        return [problem("size", text, advice)]
    return [ok("size", f"{expected} nodes are expected; {whole}")]
