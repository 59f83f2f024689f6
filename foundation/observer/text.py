"""A picture as lines of text, for terminals (pure).

All text of users is made harmless first: no control character of a name reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Raw = dict[str, Any]
Row = dict[str, Any]

SECTIONS = (
    "nodes", "hosts", "processes", "tree", "distributed",
    "services", "channels", "health", "advice",
)  # fmt: skip
ALONE = ("tree",)  # shown only when it is asked for: it would push the rest off the screen
SHORT = {"processes": 15, "distributed": 10, "services": 10, "channels": 10, "hosts": 12}


def lines(picture: Raw, section: str | None = None, rows: int | None = None) -> list[str]:
    """Return the picture as lines.

    Args:
        picture: from ``picture.picture``, with rates if there are any.
        section: only this one of ``SECTIONS``; None: all that have something to show, but for
            the trees.
        rows: of each table; None: as many as there are, or a few of each when all are shown.
    """
    made = [headline(picture)]
    for name in [n for n in SECTIONS if n not in ALONE] if section is None else (section,):
        most = rows if rows is not None else SHORT.get(name) if section is None else None
        found = _TABLES[name](picture, most)
        if found or section is not None:
            made += ["", *(found or [f"{name.upper()}", f"no {name}"])]
    return made


def headline(picture: Raw) -> str:
    """Return the whole in one line."""
    totals, cluster = picture["totals"], picture["cluster"]
    name = f"node {clean(picture['asked'])}"
    if cluster is not None:
        name = f"cluster {clean(cluster['cluster'])}"
    cpu = totals.get("cpu_percent")
    parts = [
        f"{name}: {picture['health']['status']}",
        _many(totals["nodes"], "node"),
        _many(totals["hosts"], "host"),
        _many(totals["processes"], "process", "processes"),
        f"{totals['mailboxes']:,} in mailboxes",
        size(totals["rss_bytes"]),
    ]
    return ", ".join(parts if cpu is None else [*parts, f"{cpu:.0f} % CPU"])


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


# Sections


def _nodes(picture: Raw, rows: int | None) -> list[str]:
    made = table(
        ("NODE", "STATE", "ADDRESS", ">HOSTS", ">PROCESSES", ">MAIL", ">MEMORY", ">CPU", ">LOAD",
         ">UP", "LABELS"),
        [
            (
                node["name"],
                node["state"] if node["answered"] else "no answer",
                node["address"] or "-",
                _number(node["hosts"]),
                _number(node["process_count"]),
                _number(node["mailboxes"]),
                size(node["rss_bytes"]),
                percent(node.get("cpu_percent")),
                "-" if node["load"] is None else f"{node['load']:.2f}",
                duration(node["up_seconds"]),
                labels(node["labels"]),
            )
            for node in picture["nodes"]
        ],
        rows,
    )  # fmt: skip
    return made + lost_lines((picture["cluster"] or {}).get("lost", ()))


def lost_lines(lost: Iterable[Row]) -> list[str]:
    """Say which nodes were lost lately, and why."""
    return [
        f"{clean(row['name'])} is down: {clean(row['reason'])}, {duration(row['seconds_ago'])} ago"
        for row in lost
    ]


def _hosts(picture: Raw, rows: int | None) -> list[str]:
    made = []
    for host in picture["hosts"]:
        if host["answered"]:
            counts = (host["process_count"], host["mailboxes"], host["slices"])
            cells = (str(host["os_pid"]), *map(_number, counts), size(host["rss_bytes"]))
            more = (percent(host.get("cpu_percent")), duration(host["up_seconds"]))
            made.append((host["host"], *cells, *more))
        else:
            made.append((host["host"], "-", "-", "-", "-", "-", "-", "did not answer"))
    head = ("HOST", ">PID", ">PROCESSES", ">MAIL", ">SLICES", ">MEMORY", ">CPU", ">UP")
    return table(head, made, rows)


def _processes(picture: Raw, rows: int | None) -> list[str]:
    made = [
        (
            process["pid"],
            process["known_as"] or process["name"] or "-",
            process["class"],
            process["state"],
            _number(process["mailbox"]),
            _number(process["restarts"] or None),
        )
        for process in picture["processes"]
    ]
    found = table(("PROCESS", "NAME", "CLASS", "STATE", ">MAIL", ">RESTARTS"), made, rows)
    hidden = picture["totals"]["processes"] - len(made)
    if rows is None and hidden > 0:
        found.append(f"... and {hidden:,} more, with no fuller mailboxes")
    return found


def _distributed(picture: Raw, rows: int | None) -> list[str]:
    made = [
        (
            line["name"],
            line["pattern"],
            line["status"],
            f"{line['running']}/{line['wanted']}",
            ", ".join(line["nodes"]) or "-",
            line["on_minority"],
            line["supervisor"],
            next((each["reason"] for each in line["instances"] if each["reason"]), line["why"]),
        )
        for line in picture["distributed"]
    ]
    head = ("NAME", "PATTERN", "STATUS", ">RUNNING", "NODES", "MINORITY", "SUPERVISOR", "WHY")
    return table(head, made, rows)


def _services(picture: Raw, rows: int | None) -> list[str]:
    made = [
        (
            line["name"],
            "-" if line["instance"] == line["pid"] else line["instance"],
            "healthy" if line["healthy"] else "UNHEALTHY",
            line["breaker"] if line["breaker"] == "closed" else line["breaker"].upper(),
            line["node"],
            line["pid"],
            ", ".join(line["capabilities"]) or "-",
            labels(line["metadata"]),
        )
        for line in picture["services"]
    ]
    breaker = f"BREAKER OF {clean(picture['breakers_of'])}"  # each host has its own
    head = ("SERVICE", "INSTANCE", "HEALTH", breaker, "NODE", "PROCESS", "CAPABILITIES", "METADATA")
    return table(head, made, rows)


def _channels(picture: Raw, rows: int | None) -> list[str]:
    made = [
        (
            line["channel"] or line["topic"],
            "pattern" if line["pattern"] else "topic" if line["channel"] is None else "channel",
            _number(line["subscribers"]),
            _number(line["published"]),
            ", ".join(line["nodes"]) or "-",
        )
        for line in picture["channels"]
    ]
    found = table(("CHANNEL", "KIND", ">SUBSCRIBERS", ">PUBLISHED", "NODES"), made, rows)
    return [*found, "(counted by live hosts)"] if found else []


def _health(picture: Raw, rows: int | None) -> list[str]:
    health = picture["health"]
    return [
        f"HEALTH {health['status']}",
        *(f"  - {clean(reason)}" for reason in health["reasons"]),
        *(f"  > {clean(text)}" for text in health["recommendations"]),
        *(f"  ! {clean(note)}" for note in picture["notes"]),
    ]


def _advice(picture: Raw, rows: int | None) -> list[str]:
    made = [
        (
            line.get("rule", "-"),
            line.get("current", "-"),
            line.get("proposed", "-"),
            "applied" if line.get("applied") else "safe" if line.get("safe") else "for you to do",
            line.get("reason", ""),
        )
        for line in picture["advice"]
        if isinstance(line, dict)
    ]
    return table(("ADVICE", ">NOW", ">BETTER", "STATE", "REASON"), made, rows)


def _tree(picture: Raw, rows: int | None) -> list[str]:
    made = tree_lines(picture)
    left = 0 if rows is None else len(made) - rows
    return ["TREE", *(made if left <= 0 else [*made[:rows], f"... and {left:,} more lines"])]


_TABLES: dict[str, Callable[[Raw, int | None], list[str]]] = {
    "nodes": _nodes, "hosts": _hosts, "processes": _processes, "tree": _tree,
    "distributed": _distributed, "services": _services, "channels": _channels,
    "health": _health, "advice": _advice,
}  # fmt: skip


def tree_lines(picture: Raw) -> list[str]:
    """Return the supervision trees."""
    made: list[str] = []
    bars: list[bool] = []  # by depth: whether a sibling follows, below which a line goes on
    rest: list[tuple[int, str]] = []  # depth, and what stands below the children shown
    for row in picture["tree"]:
        while rest and rest[-1][0] >= row["depth"]:
            made.append(rest.pop()[1])
        del bars[row["depth"] :]
        bars.append(not row["last"])
        indent = "".join("│  " if goes_on else "   " for goes_on in bars[1:-1])
        branch = "" if row["depth"] == 0 else "└─ " if row["last"] else "├─ "
        made.append(indent + branch + _tree_entry(row))
        if row["hidden"]:
            below = "" if row["depth"] == 0 else "   " if row["last"] else "│  "
            more = _many(row["hidden"], "more child", "more children")
            rest.append((row["depth"], f"{indent}{below}   … {more}"))
    made += [line for _, line in reversed(rest)]
    if picture["tree_more"]:
        made.append(f"... and {picture['tree_more']:,} more")
    made += [f"(node {clean(name)} did not answer)" for name in picture["missing"]["nodes"]]
    made += [f"(host {clean(name)} did not answer)" for name in picture["missing"]["hosts"]]
    return made or ["(nothing is supervised)"]


def _tree_entry(row: Row) -> str:
    name = row["known_as"] or row["name"]
    restarts = f", {_many(row['restarts'], 'restart')}" if row["restarts"] else ""
    shown = f" {clean(repr(name))}" if name else ""
    return f"{clean(row['class'])}{shown} {row['pid']}{restarts}"


# Cells


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], most: int | None = None) -> list[str]:
    """Return a table; a column whose title begins with ``>`` is set to the right.

    Args:
        head: titles.
        rows: cells.
        most: rows; a last line says how many more there are.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        return []
    shown = cells if most is None else cells[:most]
    titles = [title.lstrip(">") for title in head]
    widths = [
        min(36, max(len(row[column]) for row in (titles, *shown))) for column in range(len(head))
    ]

    def line(row: list[str]) -> str:
        made = [
            _fit(cell, width).rjust(width) if title[0] == ">" else _fit(cell, width).ljust(width)
            for cell, width, title in zip(row[:-1], widths, head, strict=False)
        ]
        last = row[-1].rjust(widths[-1]) if head[-1][0] == ">" else row[-1]
        return "  ".join([*made, last]).rstrip()

    made = [line(titles), *map(line, shown)]
    if len(cells) > len(shown):
        made.append(f"... and {len(cells) - len(shown):,} more")
    return made


def _fit(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def clean(value: Any) -> str:
    """Return *value* as one line of printable text."""
    said = str(value)
    if said.isprintable():
        return said
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)


def labels(found: Any) -> str:
    """Return labels or metadata as text."""
    if not isinstance(found, dict):
        return "-"
    return ", ".join(f"{key}={value}" for key, value in sorted(found.items())) or "-"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Return a percentage."""
    return "-" if value is None else f"{value:.0f} %"


def size(value: float | None) -> str:
    """Return a number of bytes in the unit that reads best."""
    if value is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float | None) -> str:
    """Return seconds as ``3 s``, ``4:05``, ``2:00:00`` or ``3 d 4 h``."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
