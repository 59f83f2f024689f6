"""Rates and short series, from pictures one after the other (pure; the time is passed in)."""

from __future__ import annotations

from collections import deque
from typing import Any

Raw = dict[str, Any]

POINTS = 60  # of a series
RATES = (  # a count, its rate, and what that is multiplied by
    ("cpu_seconds", "cpu_percent", 100.0),
    ("slices", "slices_per_second", 1.0),
    ("frames_out", "frames_per_second", 1.0),
)
GAUGES = ("rss_bytes", "mailboxes")
SERIES = (*GAUGES, "processes", *(rate for _, rate, _ in RATES))
NODE_SERIES = (*GAUGES, "process_count", "cpu_percent")


class History:
    """What earlier pictures were like.

    Invariants:
        H1  A rate is of two looks at one life of one host; else it is None.
        H2  Nothing is kept of nodes and hosts that the latest picture does not have.
    """

    def __init__(self) -> None:
        self._hosts: dict[tuple[str, int], tuple[float, Raw]] = {}
        self._totals: dict[str, deque[float | None]] = {}
        self._nodes: dict[str, dict[str, deque[float | None]]] = {}

    def add(self, picture: Raw, now: float) -> Raw:
        """Return *picture* with rates in its hosts, nodes and totals, and with ``series``.

        Args:
            picture: of now; not changed.
            now: seconds; only differences count.
        """
        hosts = [self._rated(host, now) for host in picture["hosts"]]
        self._hosts = {_life(h): (now, h) for h in hosts if h["answered"]}
        nodes = [_with_sums(node, hosts) for node in picture["nodes"]]
        totals = dict(picture["totals"])
        for _, rate, _ in RATES:
            totals[rate] = _sum(host.get(rate) for host in hosts)
        self._remember(totals, nodes)
        series = {name: list(points) for name, points in self._totals.items()}
        of_nodes = {
            name: {metric: list(points) for metric, points in found.items()}
            for name, found in self._nodes.items()
        }
        shown = {"series": series, "node_series": of_nodes}
        return {**picture, "hosts": hosts, "nodes": nodes, "totals": totals, **shown}

    def _rated(self, host: Raw, now: float) -> Raw:
        if not host["answered"]:
            return host
        then, before = self._hosts.get(_life(host), (now, host))
        seconds = now - then
        rated = dict(host)
        for count, rate, factor in RATES:
            more = host[count] - before[count]
            rated[rate] = factor * more / seconds if seconds > 0 else None
        return rated

    def _remember(self, totals: Raw, nodes: list[Raw]) -> None:
        for name in SERIES:
            _append(self._totals, name, totals[name])
        there = [node["name"] for node in nodes]
        self._nodes = {name: found for name, found in self._nodes.items() if name in there}
        for node in nodes:
            found = self._nodes.setdefault(node["name"], {})
            for name in NODE_SERIES:
                _append(found, name, node[name])


def _life(host: Raw) -> tuple[str, int]:
    return (host["host"], host.get("os_pid", 0))


def _append(series: dict[str, deque[float | None]], name: str, value: float | None) -> None:
    series.setdefault(name, deque(maxlen=POINTS)).append(value)


def _with_sums(node: Raw, hosts: list[Raw]) -> Raw:
    mine = [host for host in hosts if host["node"] == node["name"]]
    sums = {rate: _sum(h.get(rate) for h in mine) for _, rate, _ in RATES}
    return {**node, **sums}


def _sum(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
