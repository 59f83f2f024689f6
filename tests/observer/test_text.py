"""The picture as lines, and the screen that shows it live. Pure."""

from __future__ import annotations

import pytest

from foundation.observer import text
from foundation.observer.history import History
from foundation.observer.live import Screen
from foundation.observer.picture import picture
from tests.observer.kit import answered, found, host, members, node, process


def shop() -> dict[str, object]:
    supervisor = process("a/c.1.1", kind="supervisor", restarts=2, **{"class": "App"})
    rows = [supervisor, process("a/w1.1.1", "a/c.1.1", name="one", mailbox=4)]
    rows += [process("a/w1.1.2", "a/c.1.1", name="two", kind="supervisor")]
    rows += [process("a/w1.1.3", "a/w1.1.2", name="\x1b[31mred\n")]
    a = node("a", host("a/c", supervisor), host("a/w1", *rows[1:], children={"a/w1.1.2": 3}))
    a["hosts"]["a/c"]["process_count"] = 1
    service = {
        "name": "thumbs", "instance": "i", "pid": "a/w1.1.1", "node": "a", "healthy": False,
        "capabilities": ["webp"], "metadata": {"zone": "eu"}, "breaker": "open",
    }  # fmt: skip
    advice = {"rule": "sync", "current": 1, "proposed": 2, "reason": "slow", "safe": True}
    return picture(
        found(
            a, missing=["b"], parts={"cluster": members("a", "b")},
            answers=answered(
                services={"lines": [service], "breakers_of": "a/w1"}, advice={"lines": [advice]}
            ),
        )
    )  # fmt: skip


def test_the_head_says_how_it_is() -> None:
    assert text.headline(shop()) == (
        "cluster shop: degraded, 2 nodes, 2 hosts, 4 processes, 4 in mailboxes, 6.0 MB"
    )


@pytest.mark.parametrize("section", text.SECTIONS)
def test_each_section_can_be_shown_alone(section: str) -> None:
    found = text.lines(shop(), section)
    assert found[0] == text.headline(shop())
    assert len(found) > 2
    others = [name for name in text.SECTIONS if name != section]
    assert len(text.lines(shop())) > len(found) - len(others)


def test_tables_show_what_there_is() -> None:
    shown = "\n".join(text.lines(shop()))
    for part in (
        "b     no answer", "a/w1.1.1", "thumbs   i         UNHEALTHY  OPEN", "zone=eu",
        "BREAKER OF a/w1", "! the circuit breaker of a/w1 for service thumbs a/w1.1.1 is open",
        "did not answer: node b", "sync", "a/c.1.1",
    ):  # fmt: skip
        assert part in shown, shown


def test_nothing_of_a_name_reaches_the_terminal_but_printable_text() -> None:
    shown = [*text.lines(shop()), *text.tree_lines(shop())]
    assert all(line.isprintable() for line in shown)
    assert any(r"\x1b[31mred\n" in line for line in shown)


def test_the_tree() -> None:
    assert text.tree_lines(shop()) == [
        "App a/c.1.1, 2 restarts",
        "├─ Worker 'one' a/w1.1.1",
        "└─ Worker 'two' a/w1.1.2",
        r"   ├─ Worker '\x1b[31mred\n' a/w1.1.3".replace("├", "└"),
        "      … 3 more children",
        "(node b did not answer)",
    ]


def test_the_trees_are_a_section_of_their_own() -> None:
    whole = text.lines(shop(), "tree")
    assert whole[2:] == ["TREE", *text.tree_lines(shop())]
    assert text.lines(shop(), "tree", 2)[-2:] == [
        "├─ Worker 'one' a/w1.1.1", "... and 4 more lines",
    ]  # fmt: skip
    assert "TREE" not in text.lines(shop())
    screen = Screen()
    screen.show(shop())
    screen.key("4")
    assert "TREE" in screen.lines(24)


def test_nodes_that_were_lost_are_named_with_reason_and_time() -> None:
    made = shop()
    made["cluster"]["lost"] = [  # type: ignore[index]
        {"name": "c", "reason": "killed", "seconds_ago": 12.3},
        {"name": "d", "reason": "silent", "seconds_ago": 65.0},
    ]
    shown = text.lines(made)
    assert "c is down: killed, 12 s ago" in shown
    assert "d is down: silent, 1:05 ago" in shown


def test_a_table_says_how_many_more_there_are() -> None:
    rows = [(f"n{n}", n) for n in range(5)]
    assert text.table(("NAME", ">COUNT"), rows, 2) == [
        "NAME  COUNT",
        "n0        0",
        "n1        1",
        "... and 3 more",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (3.9, "3 s"), (65, "1:05"), (7200, "2:00:00"), (100_000, "1 d 3 h")],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123e6, "123 MB")],
)
def test_sizes(size: float | None, shown: str) -> None:
    assert text.size(size) == shown


# The live screen


def test_keys_choose_sections() -> None:
    screen = Screen()
    screen.show(shop())
    screen.key("3")
    assert screen.section == "processes"
    assert any(line.startswith("PROCESS ") for line in screen.lines(40))
    screen.key("x")
    assert screen.section == "processes"
    screen.key("a")
    assert screen.section is None
    assert not screen.ended
    screen.key("q")
    assert screen.ended


@pytest.mark.parametrize("height", [1, 5, 10, 24, 200])
def test_no_more_lines_than_the_screen_has(height: int) -> None:
    screen = Screen()
    screen.show(History().add(shop(), 1.0))
    screen.trouble = "connection lost: it is gone"
    found = screen.lines(height)
    assert len(found) <= max(3, height)
    assert found[-1].endswith("q quit")
    assert "connection lost: it is gone" in found


def test_a_new_picture_ends_the_trouble() -> None:
    screen = Screen()
    assert screen.lines(10)[0] == "looking …"
    screen.trouble = "connection lost"
    assert screen.lines(10)[0] == "connection lost"
    screen.show(shop())
    assert "connection lost" not in screen.lines(10)
