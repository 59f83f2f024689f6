"""The README's table of measurements: ``python -m tests.examples.readme_table`` writes it anew.

It is made from ``benchmarks/results.json``, which ``make bench`` writes.
"""

from __future__ import annotations

import json
from typing import Any

from tests.examples.programs import ROOT

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results.json"

WHAT = {
    "local_call": "calls to a server in the same host",
    "local_call_async": "calls to an `async def` handler that calls a second server",
    "local_cast": "casts in the same host",
    "spawn": "servers started under a `DynamicSupervisor`",
    "memory_per_process": "memory of an idle server, of 100,000",
    "cross_host_call": "calls to a server in another host, one after the other",
    "cross_host_call_50": "the same, 50 callers at once",
    "embedded_call": "blocking calls from the program",
    "embedded_call_50": "calls from asyncio in the program, 50 at once",
    "registry_lookup": "look-ups in a registry",
    "restart_latency": "from a crash to the replacement's first answer",
    "host_kill_recovery": "from `kill -9` of a host to answers of all its 1,000 servers",
    "node_call": "calls to a server on another node, one after the other",
    "node_call_50": "the same, 50 callers at once",
    "cluster_form_3": "from the start of the third node to equal views of all",
    "cluster_register": "claims of distributed names, three nodes, one after the other",
    "cluster_register_50": "the same, 50 under way",
    "cluster_lookup": "look-ups of a name that another node holds",
    "cluster_start_child": "starts of distributed children, three nodes, one after the other",
    "cluster_start_child_50": "the same, 50 under way",
    "failover_kill": "from `kill -9` of a node until its share of 2,000 children runs again",
    "failover_silent": "the same when a node falls silent, and no child may run twice",
    "pubsub_local": "deliveries to 100 subscribers in one host",
    "pubsub_cluster": "broadcasts to 100 subscribers on each of three nodes",
    "control_p99_under_bulk_ms": "99th percentile of a control message while data streams",
    "config_set": "cluster-wide settings written, three nodes, one after the other",
    "facade_overhead_percent": "what a facade adds to its direct path, at most",
    "transport_roundtrip": "round trips of plain Thespian actors on our transport",
    "transport_burst": "one-way messages of plain Thespian actors on our transport",
}
OTHERS = {"thespian": "Thespian", "pykka": "Pykka", "elixir": "Elixir"}


def table(results: list[dict[str, Any]]) -> str:
    """Return the table as Markdown; a column for each of ``OTHERS`` that was measured."""
    rows = [row for row in results if row["name"] in WHAT]
    others = [key for key in OTHERS if any(key in row["baselines"] for row in rows)]
    lines = [
        ["", "Foundation", *(OTHERS[key] for key in others)],
        ["---", *["---:"] * (1 + len(others))],
    ]
    for row in rows:
        cells = [_value(row["value"], row["unit"])]
        cells += [_compared(row, row["baselines"].get(key)) for key in others]
        lines.append([WHAT[row["name"]], *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _value(value: float, unit: str) -> str:
    return f"{_number(value)}/s" if unit == "1/s" else f"{_number(value)} {unit}"


def _compared(row: dict[str, Any], other: float | None) -> str:
    if other is None:
        return ""
    ratio = row["value"] / other if row["higher_is_better"] else other / row["value"]
    return f"{_value(other, row['unit'])} (x {_number(ratio)})"


def _number(value: float) -> str:
    """Round to two digits: the third is noise."""
    if value >= 10:
        digits = len(str(int(value))) - 2
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}"


def main() -> None:
    """Write the table into the README."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = table(json.loads(RESULTS.read_text()))
    README.write_text(f"{before}{BEGIN}\n{made}{END}{after}")


if __name__ == "__main__":
    main()
