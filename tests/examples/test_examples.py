"""Every example runs with the command its docstring names, and prints what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from tests.examples.programs import ROOT, run_program

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Expected:
    """What an example prints.

    Attributes:
        out: its standard output.
        reported: patterns of the log records it may write; none means silence.
    """

    out: list[str]
    reported: list[str] = field(default_factory=list)


PROGRAMS = {
    "counter": Expected(
        ["11", "42", "ZeroDivisionError", "11"],
        [r"Counter 'counter' .* terminated: Crash\(ZeroDivisionError", r"child_terminated"],
    ),
    "bank": Expected(["105", "True", "False", "50", "bye"]),
    "strategies": Expected(["one_for_one   b", "rest_for_one  b c", "one_for_all   a b c"]),
    "async_handler": Expected(["HELLO"]),
    "cpu_bound": Expected(
        [
            "6057 primes; the clerk answered meanwhile: True",
            "killed, and restarted in another process: True",
        ],
        [r"host_lost, child .* reason: 'killed'"],
    ),
    "web_app": Expected(["[1, 2, 3]"]),
    "async_stream": Expected(
        [
            "2",
            "1",
            "failed: Crash(AttributeError: 'NoneType' object has no attribute 'split')",
            "3",
        ],
    ),
    "cluster_names": Expected(
        [
            "a b",
            "hello Ann, from node a",
            "hello Bob, from node a",
            "a is down: left",
            "nobody has the name any more",
        ]
    ),
    "cluster_chat": Expected(
        ["['ann on a', 'bob on b']", "['bob: hello', 'bob: anybody here?']", "['ann on a']"]
    ),
    "cluster_jobs": Expected(
        [
            "6 jobs run, some on each node: ['a', 'b', 'c']",
            "without c its jobs would move, and no others: {'c'}",
            "c was killed; as planned: True",
            "the others stayed: True",
        ]
    ),
    "distributed_map": Expected(
        [
            "evaluators on a b c",
            "b was killed; all squares are there: True",
            "of most, a has heard from b and c: True",
            "degraded: 2 of 3 expected nodes are healthy",
        ]
    ),
    "cluster_simulated": Expected(
        [
            "50 clusters broke for half a minute each; no number was given twice",
            "25 minutes of theirs took less than one of ours: True",
            "a seed does the same again",
        ]
    ),
    "thespian_both_ways": Expected(["HELLO WORLD", "True HELLO THESPIAN", "HELLO PLAIN MESSAGE"]),
}


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PROGRAMS, "test_virtual_time"}


@pytest.mark.real
@pytest.mark.parametrize("name", PROGRAMS)
def test_example(name: str) -> None:
    expected = PROGRAMS[name]
    outcome = run_program(f"examples/{name}.py")
    assert outcome.out == expected.out, outcome.reports
    for line in outcome.reports:
        assert any(re.search(pattern, line) for pattern in expected.reported), line
    assert outcome.code == 0
    assert outcome.left == []


@pytest.mark.real
def test_example_with_virtual_time() -> None:
    outcome = run_program(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/test_virtual_time.py"
    )
    assert outcome.code == 0, outcome.out
    assert "1 passed" in outcome.out[-1]
    assert outcome.left == []


@pytest.mark.parametrize("name", [*PROGRAMS, "test_virtual_time"])
def test_docstring_names_the_command(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    tool = "pytest" if name.startswith("test_") else "python"
    assert f"    {tool} examples/{name}.py" in text.split('"""')[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_comments_beside_prints_are_true(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    for comment in re.findall(r"(?m)print\(.*\)  # (.+)$", text):
        assert any(comment.startswith(line) for line in PROGRAMS[name].out), comment
