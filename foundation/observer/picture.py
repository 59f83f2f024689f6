"""From what was looked up to what is shown: sorted tables of plain data (pure).

The picture is what ``foundation top --json`` prints, the terminal draws and the web page gets.
Each table is sorted by something that does not change from look to look, or by how urgent its
lines are and then by that, so that lines stay where they are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from foundation.observer.judge import judge
from foundation.observer.tree import pid_order, tree

Raw = dict[str, Any]
Row = dict[str, Any]

PROCESSES = 500  # rows
TREE = 500
CHANNEL = "foundation:"  # what the topics of channels begin with


def picture(found: Raw) -> Raw:
    """Return the picture.

    Args:
        found: see ``Overlook.gather_whole``; the answer ``"facades"`` is that of an ``Observer``,
            decoded.

    Returns:
        ``cluster`` (or None), ``asked``, ``totals``, and the tables ``nodes``, ``hosts``,
        ``processes``, ``tree``, ``distributed``, ``registries``, ``services``, ``channels``,
        ``advice``; ``breakers_of``, the host whose circuit breakers ``services`` shows;
        ``health``; ``parts`` of other packages; ``missing`` and ``notes``.
    """
    parts = found["parts"]
    facades, notes = _facades(found)
    hosts = _hosts(found)
    nodes = _nodes(found, hosts)
    distributed, names = _distributed(parts.get("supervisors", {}))
    rows = _processes(found, names)
    trees = tree(rows, _hidden(found))
    made = {
        "asked": found["asked"],
        "cluster": _cluster(parts.get("cluster")),
        "nodes": nodes,
        "hosts": hosts,
        "processes": rows[:PROCESSES],
        "matches": _matches(found),
        "tree": trees[:TREE],
        "tree_more": max(0, len(trees) - TREE),
        "distributed": distributed,
        "registries": _registries(parts.get("registries", {})),
        "services": _lines(facades.get("services")),
        "breakers_of": (facades.get("services") or {}).get("breakers_of"),
        "channels": _channels(found, _lines(facades.get("channels"))),
        "advice": _lines(facades.get("advice")),
        "parts": {n: facades[n] for n in facades if n not in _KNOWN},
        "missing": _missing(found, nodes),
        "notes": [*notes, *_open_breakers(facades.get("services") or {})],
    }
    made["totals"] = _totals(made)
    made["health"] = judge(made, facades.get("health"))
    return made


_KNOWN = ("services", "channels", "health", "advice")


def _facades(found: Raw) -> tuple[Raw, list[str]]:
    """Return what facades say, without those that failed, and why those did."""
    answer = found.get("answers", {}).get("facades")
    if answer is None or (not answer["ok"] and "noproc" in str(answer["value"])):
        return {}, []
    if not answer["ok"]:
        return {}, [f"the facades of node {found['asked']} did not answer: {answer['value']}"]
    failed = {n: p["error"] for n, p in answer["value"].items() if _failed(p)}
    parts = {n: p for n, p in answer["value"].items() if n not in failed}
    return parts, [f"{name}: {error}" for name, error in sorted(failed.items())]


def _failed(part: Any) -> bool:
    return isinstance(part, dict) and set(part) == {"error"}


def _lines(part: Any) -> list[Row]:
    return list(part.get("lines", ())) if isinstance(part, dict) else []


def _open_breakers(part: Raw) -> list[str]:
    """Say which instances of services the asked host does not call for the moment."""
    return [
        f"the circuit breaker of {part.get('breakers_of')} for service {line['name']} "
        f"{line['pid']} is {line['breaker'].replace('_', ' ')}"
        for line in _lines(part)
        if line.get("breaker", "closed") != "closed"
    ]


def _cluster(part: Raw | None) -> Raw | None:
    if part is None:  # a node that is alone does not show its cluster of one
        return None
    names = ("cluster", "settled", "expected_size", "view", "lost", "counters")
    size = part.get("size", len(part["members"]))
    return {**{name: part[name] for name in names}, "size": size}


# Nodes, hosts, processes

_OF_HOST = (
    "incarnation", "os_pid", "up_seconds", "rss_bytes", "cpu_seconds", "process_count",
    "mailboxes", "slices", "frames_in", "frames_out", "states", "classes",
)  # fmt: skip


def _all_hosts(found: Raw) -> list[tuple[str, Raw]]:
    return [
        (name, host) for name, node in found["nodes"].items() for host in node["hosts"].values()
    ]


def _hosts(found: Raw) -> list[Row]:
    rows = [
        {"host": host["host"], "node": node, "answered": True, **{n: host[n] for n in _OF_HOST}}
        for node, host in _all_hosts(found)
    ]
    rows += [
        {"host": host, "node": name, "answered": False}
        for name, node in found["nodes"].items()
        for host in node["missing"]
    ]
    return sorted(rows, key=lambda row: (row["node"], row["host"]))


def _nodes(found: Raw, hosts: list[Row]) -> list[Row]:
    members = {m["name"]: m for m in found["parts"].get("cluster", {}).get("members", ())}
    names = {*members, *found["nodes"], *found["missing"]}
    return [_node(name, found, members.get(name), hosts) for name in sorted(names)]


def _node(name: str, found: Raw, member: Raw | None, hosts: list[Row]) -> Row:
    node = found["nodes"].get(name)
    mine = [host for host in hosts if host["node"] == name]
    there = [host for host in mine if host["answered"]]
    states = {"this node": "up"}
    state = "up" if member is None else states.get(member["state"], member["state"])
    row: Row = {
        "name": name,
        "answered": node is not None,
        "asked": name == found["asked"],
        "state": "draining" if member is not None and member["draining"] else state,
        "address": None if member is None else member["address"],
        "labels": {} if member is None else member["labels"],
        "heard_seconds_ago": None if member is None else member["heard_seconds_ago"],
        "hosts": len(mine) if node is not None else None if member is None else member["hosts"],
        "missing_hosts": [] if node is None else node["missing"],
    }
    for key in ("machine", "python", "cpus", "load"):
        row[key] = None if node is None else node[key]
    for key in ("process_count", "mailboxes", "rss_bytes", "cpu_seconds"):
        row[key] = sum(host[key] for host in there) if there else None
    row["up_seconds"] = max((host["up_seconds"] for host in there), default=None)
    return row


def _processes(found: Raw, names: dict[str, str]) -> list[Row]:
    """Return all described processes, the fullest mailboxes first."""
    rows = [
        {**process, "node": node, "host": host["host"], "known_as": names.get(process["pid"])}
        for node, host in _all_hosts(found)
        for process in host["processes"]
    ]
    return sorted(rows, key=lambda r: (-r["mailbox"], -r["restarts"], pid_order(r["pid"])))


def _hidden(found: Raw) -> dict[str, int]:
    """Return how many children, by parent, are not described."""
    hidden: dict[str, int] = {}
    for _, host in _all_hosts(found):
        for parent, count in host["children"].items():
            hidden[parent] = hidden.get(parent, 0) + count
    return hidden


def _matches(found: Raw) -> int | None:
    counts = [host["matches"] for _, host in _all_hosts(found) if host["matches"] is not None]
    return sum(counts) if counts else None


# What is distributed


def _distributed(supervisors: Raw) -> tuple[list[Row], dict[str, str]]:
    """Return the lines of singletons, replicas and partitions, and the names of their pids."""
    if _failed(supervisors):
        return [], {}
    rows, names = [], {}
    for supervisor, part in sorted(supervisors.items()):
        for line in part["names"]:
            running = line["states"].get("running", 0)
            rows.append(
                {
                    "supervisor": supervisor,
                    **line,
                    "instances": sorted(line["instances"], key=_place),
                    "running": running,
                    "status": _status(line, running),
                    "nodes": sorted({each["node"] for each in line["instances"]}),
                }
            )
            for each in line["instances"]:
                number = "" if each["part"] is None else f"[{each['part']}]"
                if each["pid"] is not None:
                    names[each["pid"]] = line["name"] + number
    return rows, names


def _place(instance: Row) -> tuple[int, str]:
    return (instance["part"] or 0, instance["node"])


def _status(line: Row, running: int) -> str:
    if line["states"].get("quarantined"):
        return "quarantined"
    if running >= line["wanted"]:
        return "running"
    moving = any(line["states"].get(s) for s in ("leaving", "moving", "holding"))
    return "moving" if moving else "starting" if line["states"].get("starting") else "waiting"


def _registries(part: Raw) -> list[Row]:
    return [] if _failed(part) else [{"name": name, **part[name]} for name in sorted(part)]


# Channels and topics


def _channels(found: Raw, declared: list[Row]) -> list[Row]:
    """Return channels and topics with their subscribers; channels first."""
    rows: dict[tuple[str, str, bool], Row] = {}
    for name, part in sorted(found["parts"].get("topics", {}).items()):
        for line in part.get("topics", ()) if isinstance(part, dict) else ():
            rows[name, line["topic"], line["pattern"]] = _topic(name, line)
    for each in declared:
        key = ("pubsub", CHANNEL + each["name"], False)
        row = rows.setdefault(key, _topic(key[0], {"topic": key[1], "pattern": False}))
        row["priority"], row["bulk"] = each.get("priority"), each.get("bulk")
    for _, host in _all_hosts(found):
        subscribed = host["parts"].get("subscribers", {})
        for name, lines in subscribed.items() if not _failed(subscribed) else ():
            for line in lines:
                known = rows.get((name, line["topic"], line["pattern"]))
                for count in ("subscribers", "published", "received"):
                    if known is not None and count in line:
                        known[count] = (known[count] or 0) + line[count]
    return sorted(rows.values(), key=lambda r: (r["channel"] is None, r["topic"], r["name"]))


def _topic(name: str, line: Row) -> Row:
    topic = line["topic"]
    own = topic.startswith(CHANNEL) and not line["pattern"]
    return {
        "name": name,
        "topic": topic,
        "channel": topic[len(CHANNEL) :] if own else None,
        "pattern": line["pattern"],
        "nodes": line.get("nodes", []),
        "subscribers": 0,
        "published": None,
        "received": None,
        "priority": None,
        "bulk": None,
    }


# The whole


def _missing(found: Raw, nodes: list[Row]) -> Raw:
    silent = [row["name"] for row in nodes if not row["answered"]]
    hosts = [host for node in found["nodes"].values() for host in node["missing"]]
    return {"nodes": silent, "hosts": sorted(hosts)}


def _totals(made: Raw) -> Raw:
    there = [host for host in made["hosts"] if host["answered"]]
    return {
        "nodes": len(made["nodes"]),
        "hosts": len(made["hosts"]),
        "processes": sum(host["process_count"] for host in there),
        "mailboxes": sum(host["mailboxes"] for host in there),
        "rss_bytes": sum(host["rss_bytes"] for host in there),
        "cpu_seconds": sum(host["cpu_seconds"] for host in there),
        "slices": sum(host["slices"] for host in there),
        "frames": sum(host["frames_out"] for host in there),
    }


def of_nodes(found: Raw, chosen: Collection[str]) -> Raw:
    """Return what was looked up of some nodes only.

    The parts stay: they are the cluster's; but who subscribes, too, is of the chosen nodes.
    """
    nodes = {name: each for name, each in found["nodes"].items() if name in chosen}
    parts = dict(found["parts"])
    if "cluster" in parts:
        members = [m for m in parts["cluster"]["members"] if m["name"] in chosen]
        size = len(parts["cluster"]["members"])
        parts["cluster"] = {**parts["cluster"], "members": members, "size": size}
    if not _failed(parts.get("topics")):
        parts["topics"] = {
            name: _topics_of(part, chosen) for name, part in parts.get("topics", {}).items()
        }
    missing = [name for name in found["missing"] if name in chosen]
    return {**found, "nodes": nodes, "missing": missing, "parts": parts}


def _topics_of(part: Raw, chosen: Collection[str]) -> Raw:
    """Return the topics that some nodes subscribe to."""
    lines = [
        {**line, "nodes": there}
        for line in part["topics"]
        if (there := [node for node in line["nodes"] if node in chosen])
    ]
    return {**part, "topics": lines}
