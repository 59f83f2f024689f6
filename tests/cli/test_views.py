"""What ``tree`` prints, from snapshots made up here."""

from __future__ import annotations

from typing import Any

from foundation.cli.views import tree_json, tree_lines
from foundation.runtime.messages import Inspected


def process(pid: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid,
        "name": None,
        "kind": "server",
        "class": "Worker",
        "state": "idle",
        "mailbox": 0,
        "links": 1,
        "monitored_by": 0,
        "parent": parent,
        "restarts": 0,
        **more,
    }


def host(*processes: dict[str, Any]) -> dict[str, Any]:
    return {
        "os_pid": 1,
        "rss_bytes": 3_000_000,
        "cpu_seconds": 0.5,
        "process_count": len(processes),
        "slices": 9,
        "mailboxes": 0,
        "processes": list(processes),
    }


def family() -> Inspected:
    supervisor = process("n/main.1.1", kind="supervisor", **{"class": "App", "restarts": 2})
    inner = process("n/w1.1.1", "n/main.1.1", kind="supervisor", name="inner", restarts=1)
    hosts = {
        "n/w1": host(inner, process("n/w1.1.2", "n/w1.1.1", name="deep")),
        "n/main": host(supervisor, process("n/main.1.2", "n/main.1.1"), process("n/main.1.3")),
    }
    return Inspected(1, hosts, ("n/w2",))


def test_the_tree_crosses_hosts() -> None:
    assert tree_lines(family()) == [
        "App main.1.1, 2 restarts",
        "├─ Worker main.1.2",
        "└─ Worker 'inner' w1.1.1, 1 restart",
        "   └─ Worker 'deep' w1.1.2",
        "(host n/w2 did not answer)",
    ]


def test_the_tree_as_data() -> None:
    (root,) = tree_json(family())
    assert root["class"] == "App"
    assert [c["pid"] for c in root["children"]] == ["n/main.1.2", "n/w1.1.1"]
    assert root["children"][1]["children"][0]["name"] == "deep"


def test_a_supervisor_whose_parent_is_in_a_silent_host_is_a_root() -> None:
    lost = process("n/w1.1.1", "n/w2.1.1", kind="supervisor")
    assert tree_lines(Inspected(1, {"n/w1": host(lost)}, ("n/w2",)))[0] == "Worker w1.1.1"


def test_a_deep_tree_is_drawn() -> None:
    chain = [process("n/main.1.1", kind="supervisor")]
    chain += [
        process(f"n/main.1.{n}", f"n/main.1.{n - 1}", kind="supervisor") for n in range(2, 60)
    ]
    assert len(tree_lines(Inspected(1, {"n/main": host(*chain)}))) == 59


def test_nothing_is_supervised() -> None:
    alone = Inspected(1, {"n/main": host(process("n/main.1.1"))})
    assert tree_lines(alone) == ["(nothing is supervised)"]
