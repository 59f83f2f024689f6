"""What the cluster adds to an overview: distributed children, registries, topics.

Everything here is read where it is already: the copies of the tables that the host has. What is
long is counted, and described for a bounded number of lines; what needs somebody's attention
comes first.
"""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import islice
from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.describe import describe
from foundation.cluster.host import SERVICES, ClusterHost
from foundation.cluster.pubsub.host import TABLE as PUBSUB
from foundation.cluster.pubsub.service import TOPICS
from foundation.cluster.pubsub.topics import PATTERN, TOPIC
from foundation.cluster.registry.host import TABLE as REGISTRIES
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.ids import id_of
from foundation.cluster.supervisor.records import RUNNING, Entry, Record, table_of
from foundation.cluster.supervisor.server import SERVICE
from foundation.kernel.values import Pid
from foundation.runtime.inspect import text
from foundation.runtime.overview import add_part

CHILDREN = 5000  # of one supervisor, looked at one by one; the rest is counted
ENTRIES = 20_000  # of topics, looked at one by one
INSTANCES = 16  # of one name, described
TEXT = 200  # characters of a name


def install_overview(cluster: ClusterHost) -> None:
    """Have overviews contain what *cluster*'s host knows."""
    kernel = cluster.kernel
    add_part(kernel, "subscribers", lambda rows: subscribers(kernel.tables[PUBSUB], rows))
    if isinstance(cluster, Agent):
        if not cluster.config.alone:
            add_part(kernel, "cluster", lambda rows: describe(cluster), whole=True)
        add_part(kernel, "supervisors", lambda rows: supervisors(cluster, rows), whole=True)
        add_part(kernel, "registries", lambda rows: registries(cluster, rows), whole=True)
        add_part(kernel, "topics", lambda rows: topics(cluster, rows), whole=True)


# Distributed children


def supervisors(agent: Agent, rows: int) -> dict[str, Any]:
    """Return, by supervisor, what is wanted and what there is of it."""
    service = agent.kernel.tables[SERVICE]
    return {
        name: _supervisor(agent, service.coordinators[name], rows) for name in service.names()
    }


def _supervisor(agent: Agent, coordinator: Coordinator, rows: int) -> dict[str, Any]:
    entries = list(agent.tables[table_of(coordinator.name)].items())
    states = Counter(entry.status for _, _, entry in entries)
    names = _by_name(coordinator, _to_look_at(coordinator, entries))
    for node, key, entry in entries:
        if key in names:
            _add_instance(names[key], node, id_of(key), entry)
    for key, line in names.items():
        waits = coordinator.why.get(key)
        if waits is not None and not line["well"]:
            line["why"] = waits.why[:TEXT]
    found = {id(line): line for line in names.values()}  # parts of one name share a line
    most = heapq.nsmallest(rows, found.values(), key=lambda line: (line["well"], line["name"]))
    return {
        "nodes": [n for n in agent.view.names if f"sup:{coordinator.name}" in _services(agent, n)],
        "wanted": len(coordinator.desired),
        "states": dict(sorted(states.items())),
        "names": sorted(most, key=lambda line: line["name"]),
        "more": len(found) - len(most),
    }


def _services(agent: Agent, node: str) -> dict[Any, Any]:
    return agent.tables[SERVICES].of(node)


def _to_look_at(
    coordinator: Coordinator, entries: list[tuple[str, bytes, Entry]]
) -> dict[bytes, Record]:
    """Return some of the wanted children: those with trouble first."""
    desired = coordinator.desired
    running = {key: None for _, key, entry in entries if entry.status == RUNNING}
    keys = [key for key in desired.live() if key not in running][:CHILDREN]
    keys += list(running)[: CHILDREN - len(keys)]
    found = ((key, desired.wanted(key)) for key in keys)
    return {key: record for key, record in found if record is not None}


def _by_name(
    coordinator: Coordinator, records: dict[bytes, Record]
) -> dict[bytes, dict[str, Any]]:
    """Return, by the key of each child, the line of what it is a part of."""
    lines: dict[bytes, dict[str, Any]] = {}
    found: dict[bytes, dict[str, Any]] = {}
    for key, record in records.items():
        whole = record.group or key
        line = lines.get(whole)
        if line is None:
            line = lines[whole] = _line(whole, record)
        eligible = coordinator.candidates.eligible(record.labels)
        line["wanted"] += len(eligible) if record.every_node else 1
        found[key] = line
    return found


def _line(whole: bytes, record: Record) -> dict[str, Any]:
    pattern = "partitioned" if record.group else "singleton"
    return {
        "name": _name(id_of(whole)),
        "pattern": "replicated" if record.every_node else pattern,
        "restart": record.restart,
        "on_minority": record.on_minority,
        "labels": dict(record.labels),
        "wanted": 0,
        "states": {},
        "instances": [],
        "well": False,
        "why": "",
    }


def _add_instance(line: dict[str, Any], node: str, id: Any, entry: Entry) -> None:
    line["states"][entry.status] = line["states"].get(entry.status, 0) + 1
    line["well"] = line["states"].get(RUNNING, 0) >= line["wanted"]
    part = id[1] if line["pattern"] == "partitioned" else None
    if len(line["instances"]) < INSTANCES:
        line["instances"].append(
            {
                "node": node,
                "part": part,
                "pid": None if entry.pid is None else text(entry.pid),
                "status": entry.status,
                "generation": entry.generation,
                "reason": entry.note[:TEXT],
            }
        )


# Registries


def registries(agent: Agent, rows: int) -> dict[str, Any]:
    """Return, by distributed registry, how many entries it has, and the first of them."""
    return {
        name: {
            "keys": "unique" if index.unique else "duplicate",
            "count": len(index),
            "entries": [
                {"key": _name(r.key), "pid": text(r.pid), "node": r.node} for r in index.first(rows)
            ],
        }
        for name, index in sorted(agent.kernel.tables[REGISTRIES].by_name.items())
    }


# Topics


def topics(agent: Agent, rows: int) -> dict[str, Any]:
    """Return, by pubsub, which topics have subscribers on which nodes."""
    found = {}
    for table in sorted(agent.tables, key=lambda table: table.name):
        if table.name.startswith(TOPICS):
            found[table.name[len(TOPICS) :]] = _topics(table, rows)
    return found


def _topics(table: Any, rows: int) -> dict[str, Any]:
    hosts: dict[tuple[int, str], list[str]] = {}
    for _, (host, kind, said), _ in islice(table.items(), ENTRIES):
        hosts.setdefault((kind, said), []).append(host)
    most = heapq.nsmallest(rows, hosts.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        "count": len(hosts),
        "topics": [
            {
                "topic": _name(said),
                "pattern": kind == PATTERN,
                "hosts": len(there),
                "nodes": sorted({host.partition("/")[0] for host in there}),
            }
            for (kind, said), there in sorted(most, key=lambda item: item[0])
        ],
    }


def subscribers(pubsub: Any, rows: int) -> dict[str, Any]:
    """Return, by pubsub, the topics with most subscribers in this host, and how many."""
    return {
        each.name: [_subscribed(each, *most) for most in _most_subscribed(each, rows)]
        for each in sorted(pubsub.exchanges(), key=lambda each: each.name)
    }


def _most_subscribed(exchange: Any, rows: int) -> list[tuple[int, int, str]]:
    counted = (
        (len(exchange.local.of(kind, said)), kind, said)
        for kind in (TOPIC, PATTERN)
        for said in exchange.local.texts(kind)[:ENTRIES]
    )
    return heapq.nlargest(rows, counted)


def _subscribed(exchange: Any, count: int, kind: int, said: str) -> dict[str, Any]:
    line = {"topic": _name(said), "pattern": kind == PATTERN, "subscribers": count}
    volume = getattr(exchange, "volumes", {}).get(said)  # of topics that are counted
    if volume is not None and kind == TOPIC:
        line["published"], line["received"] = volume.published, volume.received
    return line


def _name(said: Any) -> str:
    """Return a name or a key as bounded text."""
    if isinstance(said, Pid):
        return text(said)
    shown = said if isinstance(said, str) else repr(said)
    return shown if len(shown) <= TEXT else shown[: TEXT - 1] + "…"
