"""Sequence diagrams of events: as Mermaid text, and drawn for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from foundation.kernel.values import Pid
from foundation.runtime.inspect import text as pid_text
from foundation.scope.events import Event

Label = Callable[[Pid], str]

COLUMN_MIN = 16  # characters between two lifelines; where there is no room for that, a list
COLUMN_MAX = 44
OF_ONE = ("span", "note", "end", "failure")  # kinds of events that concern one process
_ARROWS = {"call": "->>", "reply": "-->>", "signal": "--)", "spawn": "-->>"}


def participants(events: Sequence[Event], label: Label) -> dict[Pid, str]:
    """Return the processes in *events* in the order of their first event, and what to call them.

    Those of one name get their hosts added, where that is not enough their pids.
    """
    found: dict[Pid, str] = {}
    for event in events:
        for pid in (event.sender, event.receiver):
            if pid not in found:
                found[pid] = label(pid)
    names = Counter(found.values())
    with_hosts = Counter((name, pid.host) for pid, name in found.items())

    def distinct(pid: Pid, name: str) -> str:
        if names[name] == 1:
            return name
        return f"{name} {pid.host if with_hosts[name, pid.host] == 1 else pid_text(pid)}"

    return {pid: distinct(pid, name) for pid, name in found.items()}


def mermaid(events: Sequence[Event], label: Label, left: int = 0) -> str:
    """Return a Mermaid ``sequenceDiagram``; processes are in a box for each host.

    Args:
        events: in order.
        label: what to call a process.
        left: how many events are not shown.
    """
    people = participants(events, label)
    ids = {pid: f"p{number}" for number, pid in enumerate(people)}
    lines = ["sequenceDiagram"]
    for host in dict.fromkeys(pid.host for pid in people):
        lines.append(f"    box {_escaped(host)}")
        lines += [
            f"        participant {ids[pid]} as {_escaped(name)}"
            for pid, name in people.items()
            if pid.host == host
        ]
        lines.append("    end")
    lines += [f"    {_mermaid_line(event, ids)}" for event in events]
    if left > 0 and ids:
        lines.append(f"    Note over {next(iter(ids.values()))}: and {left} more events")
    return "\n".join(lines)


def _mermaid_line(event: Event, ids: dict[Pid, str]) -> str:
    sender, receiver = ids[event.sender], ids[event.receiver]
    text = _escaped(describe(event))
    if event.kind in OF_ONE:
        return f"Note over {sender}: {text}"
    arrow = _ARROWS.get(event.kind, "-)")
    if not event.ok or event.taken is None:
        arrow = "--x" if event.kind == "reply" else "-x"
    return f"{sender}{arrow}{receiver}: {text}"


_ENTITIES = {"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;", ":": "#58;", "%": "#37;"}


def _escaped(text: str) -> str:
    """Return *text* so that Mermaid takes none of it for its own."""
    plain = "".join(_ENTITIES.get(c, c) for c in " ".join(text.split()))
    return plain or "-"


_BAD = {"end": "crashed: ", "failure": "of a call: "}


def describe(event: Event) -> str:
    """Return kind and text of *event* in one line."""
    text = " ".join(event.text.split())
    lost = ", not taken" if event.taken is None and event.kind not in OF_ONE else ""
    bad = "" if event.ok else _BAD.get(event.kind, "failed: ")
    return f"{event.kind} {bad}{text}{lost}".rstrip()


def terminal(events: Sequence[Event], label: Label, width: int = 100) -> list[str]:
    """Return the lines of a diagram with a lifeline for each process; a list where it is narrow.

    Args:
        events: in order.
        label: what to call a process.
        width: characters to a line.
    """
    if not events:
        return ["(no events)"]
    people = participants(events, label)
    gutter = 11
    room = width - gutter - 1
    column = min(COLUMN_MAX, room // max(1, len(people)))
    if column < COLUMN_MIN:
        return _listed(events, people)
    heads = _heads(people, label)
    # The first lifeline as far to the left as its name allows: notes stand on the right.
    margin = min(column, max(map(len, next(iter(heads.values())))) + 2) // 2
    at = {pid: margin + column * number for number, pid in enumerate(people)}
    lines = []
    for line in zip(*heads.values(), strict=True):
        row = [" "] * (column * len(people))
        for place, text in zip(at.values(), line, strict=True):
            shown = _end_of(text, column - 2)
            _write(row, place - len(shown) // 2, shown)
        lines.append(" " * gutter + "".join(row).rstrip())
    begin = events[0].sent.seconds
    for event in events:
        row = [" "] * (column * len(people))
        for place in at.values():
            row[place] = "│"
        _draw(row, event, at[event.sender], at[event.receiver], column)
        lines.append(f"{event.sent.seconds - begin:>+9.6f}  "[:gutter] + "".join(row).rstrip())
    return lines


def _heads(people: Iterable[Pid], label: Label) -> dict[Pid, tuple[str, ...]]:
    """Return the lines above each lifeline: what the process is called, and where it is."""
    names = {pid: label(pid) for pid in people}
    if len({pid.host for pid in names}) == 1 and len(set(names.values())) == len(names):
        return {pid: (name,) for pid, name in names.items()}
    same = Counter((name, pid.host) for pid, name in names.items())
    return {
        pid: (name, pid.host if same[name, pid.host] == 1 else f"{pid.host} #{pid.serial}")
        for pid, name in names.items()
    }


def _end_of(text: str, room: int) -> str:
    """Return the end of *text*, which says more than the beginning: ``…service_mesh``."""
    return text if len(text) <= room else f"…{text[len(text) - room + 1 :]}"


def _draw(row: list[str], event: Event, start: int, end: int, column: int) -> None:
    text = describe(event)
    if start == end:
        over = "■" if event.ok else "✗"
        mark = {"span": "◇", "note": "◆", "failure": "✗", "end": over}.get(event.kind, "↻")
        row[start] = mark
        room = len(row) - start - 2
        _write(row, start + 2, _cut(text, max(column - 3, min(room, column - 3))))
        return
    low, high = sorted((start, end))
    shaft = "─" if event.kind != "reply" else "╌"
    for place in range(low + 1, high):
        row[place] = shaft
    row[start] = "├" if start < end else "┤"
    tip = "x" if not event.ok or event.taken is None else "▶" if start < end else "◀"
    row[end - 1 if start < end else end + 1] = tip
    shown = _cut(text, high - low - 5)
    _write(row, low + 2 + (high - low - 3 - len(shown)) // 2, shown)


def _write(row: list[str], place: int, text: str) -> None:
    for offset, character in enumerate(text):
        if 0 <= place + offset < len(row):
            row[place + offset] = character


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def _listed(events: Sequence[Event], people: dict[Pid, str]) -> list[str]:
    begin = events[0].sent.seconds
    lines = []
    for event in events:
        who = people[event.sender]
        if event.sender != event.receiver:
            who += f" → {people[event.receiver]}"
        lines.append(f"{event.sent.seconds - begin:>+10.6f}  {who}: {describe(event)}")
    return lines
