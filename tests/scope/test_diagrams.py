"""Sequence diagrams and JSON of a trace."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from foundation import scope
from foundation.errors import CallExit
from foundation.kernel.values import Pid, Ref
from foundation.otp import call
from foundation.scope import Event, Stamp, TraceReport
from foundation.testing import Simulation
from tests.scope.kit import Shop, Stock


@pytest.fixture
def report() -> Any:
    async def body() -> Any:
        stock = await Stock.start(name="stock", host="w1")
        shop = await Shop.start(stock, name="shop", host="w2")
        trace = await scope.start_trace("shop")
        await call(shop, "an apple")
        with pytest.raises(CallExit):
            await call(stock, "boom")
        await trace.stop()
        return await trace.collect()

    with Simulation(1, hosts=3, delay=0.001) as simulation:
        return simulation.run(body)


def test_a_terminal_diagram_has_an_arrow_for_each_message(report: Any) -> None:
    lines = report.diagram(120).splitlines()
    assert re.search(r"Body\._main +shop +stock", lines[0])
    assert re.search(r"/main +[^ ]+/w2 +[^ ]+/w1", lines.pop(1))
    assert re.search(r"├─+call 'an apple'─+▶│ +│$", lines[1])
    assert re.search(r"│ +├─+call \('take', 'an appl.*─+▶│$", lines[3])
    assert re.search(r"◀╌+reply 9╌+┤$", lines[4])
    assert any("✗ end crashed: Crash" in line for line in lines)
    assert any(re.search(r"│x╌+reply failed: Crash\(ValueError: boom\)╌+┤$", x) for x in lines)
    assert len(lines) == len(report.events) + 1
    assert all(len(line) <= 120 for line in lines)
    lifelines = [i for i, c in enumerate(lines[1]) if c in "│├"]
    assert len(lifelines) == 3
    assert all(line[i] not in " " for line in lines[1:] for i in lifelines)


def test_where_there_is_no_room_for_lifelines_it_is_a_list(report: Any) -> None:
    lines = report.diagram(40).splitlines()
    assert lines[0].endswith("Body._main → shop: call 'an apple'")
    assert len(lines) == len(report.events)


def test_what_is_beyond_the_limit_is_counted(report: Any) -> None:
    left = len(report.events) - 2
    assert report.diagram(120, limit=2).splitlines()[-1] == f"... and {left} more"
    assert f"and {left} more events" in report.mermaid(limit=2).splitlines()[-1]


def test_mermaid_has_a_box_per_host_and_an_arrow_per_message(report: Any) -> None:
    text = report.mermaid()
    assert text.splitlines()[0] == "sequenceDiagram"
    boxes = re.findall(r"box (\S+)\n((?:        participant .*\n)+)    end\n", text)
    assert [host for host, _ in boxes] == ["sim/main", "sim/w2", "sim/w1"]
    assert "participant p1 as shop" in text
    assert "p0->>p1: call 'an apple'" in text
    assert "p2-->>p1: reply 9" in text
    assert re.search(r"p2--xp0: reply failed#58; Crash", text)
    arrows = re.findall(r"^    p\d+(?:-->>|->>|-\)|--\)|-x|--x)p\d+: .+$", text, re.M)
    notes = re.findall(r"^    Note over p\d+: .+$", text, re.M)
    assert len(arrows) + len(notes) == len(report.events)


def event(**options: Any) -> Event:
    one, two = Pid("n/w1", 1, 1), Pid("n/w1", 1, 2)
    number = Ref("n/w1", 1, 1)
    fields = {"id": number, "chain": number, "parent": None, "kind": "cast", "sender": one}
    return Event(**{**fields, "receiver": two, "text": "x", "sent": Stamp(1, 0), **options})


def report_of(*events: Event, labels: Any = None) -> TraceReport:
    return TraceReport("t", {"n": {"n/w1": 1}}, {}, {}, events, labels or {})


def test_mermaid_takes_nothing_of_a_message_for_its_own() -> None:
    text = report_of(event(text="a;b\n  end # <b>: %%", taken=Stamp(2, 0))).mermaid()
    line = text.splitlines()[-1].strip()
    assert line == "p0-)p1: cast a#59;b end #35; #lt;b#gt;#58; #37;#37;"


def test_a_message_that_was_not_taken_ends_in_a_cross() -> None:
    report = report_of(event())
    assert "p0-xp1: cast x, not taken" in report.mermaid()
    assert re.search(r"├─+cast x, not taken─+x│", report.diagram(100))


def test_two_processes_of_one_name_are_told_apart() -> None:
    made = event(taken=Stamp(2, 0))
    text = report_of(made, labels={made.sender: "shop", made.receiver: "shop"}).diagram(100)
    assert re.search(r"n/w1 #1 +n/w1 #2$", text.splitlines()[1])
    there = Pid("n/w2", 1, 1)
    text = report_of(
        event(receiver=there, taken=Stamp(2, 0)), labels={made.sender: "shop", there: "shop"}
    ).diagram(100)
    assert re.search(r"n/w1 +n/w2$", text.splitlines()[1])


def test_long_names_are_cut_on_the_left_and_say_in_which_host_each_is() -> None:
    people = [Pid(f"node-{n}/control", 1, 1) for n in "abc"]
    events = [
        event(sender=people[0], receiver=other, taken=Stamp(2, 0), id=Ref("n/w1", 1, number))
        for number, other in enumerate(people[1:])
    ]
    name = "foundation.service_mesh.announcer"
    heads = report_of(*events, labels=dict.fromkeys(people, name)).diagram(75).splitlines()[:2]
    assert heads[0].split() == ["…ice_mesh.announcer"] * 3
    assert heads[1].split() == ["node-a/control", "node-b/control", "node-c/control"]


def test_a_trace_without_events_has_a_diagram() -> None:
    assert report_of().diagram() == "(no events)"
    assert report_of().mermaid() == "sequenceDiagram"


def test_json_is_plain_and_complete(report: Any) -> None:
    found = json.loads(json.dumps(report.as_json()))
    assert found["complete"] is True
    assert len(found["events"]) == len(report.events)
    first = found["events"][0]
    assert first["kind"] == "call"
    assert first["chain"] == first["id"]
    assert found["labels"][first["receiver"]] == "shop"
    assert len(found["errors"]) == 2
    assert found["nodes"] == {"sim": {"sim/main": 4, "sim/w1": 7, "sim/w2": 6}} or sum(
        found["nodes"]["sim"].values()
    ) >= len(report.events)
