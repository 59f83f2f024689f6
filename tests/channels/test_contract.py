"""Each function says what it sends, and that is what it does."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from foundation import channels
from foundation.otp import receive
from foundation.testing.cluster_sim import ClusterSimulation
from tests.channels.kit import App, stamp

SECTIONS = ("What this does:", "Equivalent direct messages::", "When to bypass:")
FUNCTIONS = {
    name: getattr(channels, name)
    for name in channels.__all__
    if inspect.isfunction(getattr(channels, name)) and name not in ("specs", "current_trace")
}
LARGE = "x" * 20_000


def ignore(message: Any) -> None:
    """Do nothing with it."""


async def ignore_in_time(message: Any) -> None:
    """The same, ``async``."""


ARGUMENTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("broadcast", ("events", {"n": 1}), {}),
    ("broadcast", ("data", LARGE), {}),
    ("broadcast", ("control", LARGE), {"compress": True, "include_local": False}),
    ("broadcast", ("events", 1), {"priority": "low"}),
    ("subscribe", ("telemetry",), {}),
    ("subscribe", ("control",), {"match": str}),
    ("subscribe", ("events", ignore), {}),
    ("subscribe", ("events", ignore_in_time), {"match": str}),
    ("unsubscribe", ("events",), {}),
    ("route", ("m",), {}),
    ("route", (LARGE,), {}),
    ("route", (("telemetry", 1),), {}),
    ("route", ("m",), {"priority": "high"}),
    ("explain_route", (LARGE,), {}),
    ("declare", ("video",), {"bulk": True}),
    ("use", (stamp,), {"mark": 3}),
    ("remove", ("no such",), {}),
    ("drained", (), {}),
    ("channels", (), {}),
    ("installed", (), {}),
    ("statistics", (), {}),
]


def test_every_function_is_looked_at() -> None:
    assert sorted(FUNCTIONS) == sorted({name for name, _, _ in ARGUMENTS})


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_docstring_has_the_three_sections(name: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[name]) or ""
    places = [doc.find(f"\n{section}\n") for section in SECTIONS]
    assert -1 not in places
    assert places == sorted(places)


def block_of(function: Callable[..., Any]) -> str:
    doc = inspect.getdoc(function) or ""
    found = re.search(r"Equivalent direct messages::\n\n(.*?)\n\n *When to bypass:", doc, re.S)
    assert found is not None
    return textwrap.dedent(found[1])


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function of the parameters that runs the block and returns its value."""
    tree = ast.parse(block_of(function))
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    tree.body[-1] = ast.Return(last.value)
    parameters = ", ".join(inspect.signature(function).parameters).replace("config", "**config")
    shell = ast.parse(f"async def block({parameters}): pass")
    shell.body[0].body = tree.body  # type: ignore[attr-defined]
    names: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(shell), "<block>", "exec"), names)
    block: Callable[..., Any] = names["block"]
    return block


@pytest.mark.parametrize(("name", "args", "options"), ARGUMENTS)
def test_the_block_does_what_the_function_does(
    name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    function = FUNCTIONS[name]
    block = compiled(function)
    bound = inspect.signature(function).bind(*args, **options)
    bound.apply_defaults()
    extra = bound.arguments.pop("config", {})

    async def facade() -> tuple[Any, Any]:
        await channels.subscribe("events")
        value = function(*args, **options)
        value = await value if inspect.iscoroutine(value) else value
        return value, channels.installed()

    async def direct() -> tuple[Any, Any]:
        await channels.subscribe("events")
        value = await block(**bound.arguments, **extra)
        return value, channels.installed()

    def outcome(body: Any) -> tuple[Any, Any, list[Any]]:
        with ClusterSimulation(seed=8, nodes=2, app=App) as cluster:
            cluster.form()
            heard: list[Any] = []

            async def listen() -> None:
                for channel in channels.BUILT_IN:
                    await channels.subscribe(channel, lambda m, c=channel: heard.append((c, m)))
                await receive()

            cluster.spawn("b", listen)
            cluster.spawn("a", listen)
            cluster.advance(0.2)
            result = cluster.run("a", body)
            cluster.advance(0.2)
            return (*result, sorted(heard, key=repr))

    found = outcome(facade)
    assert found == outcome(direct)
    assert bool(found[-1]) == (name in ("broadcast", "route"))
