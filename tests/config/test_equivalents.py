"""The *Equivalent direct messages* of each function give what the function gives."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from foundation import config, explain
from foundation.config.messages import Status
from foundation.kernel.ops import receive
from tests.config.confsim import PATH, cluster, form, server

HEADINGS = ("What this does:", "Equivalent direct messages::", "When to bypass:")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "get": {"path": PATH},
    "set": {"path": PATH, "value": 7},
    "set_cluster_wide": {"path": PATH, "value": 8},
    "reset": {"path": PATH},
    "reset_cluster_wide": {"path": PATH},
    "declare": {"path": "new.path", "type": str, "default": "x"},
    "validate": {"path": PATH, "value": 3},
    "subscribe": {"prefix": "limits"},
    "unsubscribe": {"prefix": "limits"},
    "paths": {},
    "version": {"path": PATH},
    "status": {},
}


def functions() -> dict[str, Callable[..., Any]]:
    """Return the functions that the package exports."""
    exported = [getattr(config, name) for name in config.__all__]
    return {f.__name__: f for f in exported if inspect.isfunction(f) and f is not config.specs}


def _block(function: Callable[..., Any]) -> str:
    doc = inspect.getdoc(function) or ""
    after = doc.split(HEADINGS[1], 1)[1].lstrip("\n")
    lines = []
    for line in after.splitlines():
        if line.strip() and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines)).strip()


async def _execute(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Run the block in this process; return the value of its last line."""
    parameters = inspect.signature(function).parameters.values()
    given = {p.name: p.default for p in parameters if p.default is not p.empty} | arguments
    tree = ast.parse(f"async def block():\n{textwrap.indent(_block(function), '    ')}")
    body = tree.body[0].body  # type: ignore[attr-defined]
    assert isinstance(body[-1], ast.Expr)
    body[-1] = ast.copy_location(ast.Return(body[-1].value), body[-1])
    space: dict[str, Any] = dict(given)
    exec(compile(ast.fix_missing_locations(tree), function.__name__, "exec"), space)
    return await space["block"]()


async def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    result = function(**arguments)
    return await result if inspect.isawaitable(result) else result


def _outcome(name: str, run: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the result, and what a new cluster is like afterwards."""

    async def body() -> Any:
        if name in ("get", "version", "reset_cluster_wide"):
            await config.set_cluster_wide(PATH, 5)
        if name == "reset":
            await config.set(PATH, 6)
        if name == "unsubscribe":
            await config.subscribe("limits")
        result = await run(functions()[name], ARGUMENTS[name])
        await config.set(PATH, 99)
        heard = []
        while name in ("subscribe", "unsubscribe"):
            try:
                heard.append(await receive(timeout=1.0))
            except TimeoutError:
                break
        return result, heard

    with cluster(1) as c:
        form(c)
        result, heard = c.run("a", body)
        c.advance(1.0)
        settings = [server(c, node).settings for node in c.nodes]
        declared = [{p: d.kinds for p, d in s.declared.items()} for s in settings]
        return result, (heard, declared, [s.local for s in settings], [s.cluster for s in settings])


def test_every_function_has_the_three_sections_and_an_example_here() -> None:
    assert list(ARGUMENTS) == list(dict.fromkeys(ARGUMENTS))
    assert {*functions()} == {*ARGUMENTS}
    for function in functions().values():
        doc = inspect.getdoc(function) or ""
        places = [doc.index(heading) for heading in HEADINGS]
        assert places == sorted(places), function
        assert getattr(config.Config, function.__name__) is function


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_block_gives_what_the_function_gives(name: str) -> None:
    assert _outcome(name, _execute) == _outcome(name, _call)


def test_explain_shows_the_messages() -> None:
    async def body() -> list[tuple[str, Any]]:
        with explain() as plan:
            await config.status()
            config.get(PATH)
        return [(step.path, step.args) for step in plan]

    with cluster(1) as c:
        form(c)
        assert c.run("a", body) == [
            ("foundation.otp.call", ("foundation.config", Status())),
            ("foundation.otp.registry.meta", ("foundation.config.values", ("limits", "rate"))),
        ]
