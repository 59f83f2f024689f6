"""The contract of facades: each function equals the direct messages that its docstring gives.

A case runs a function in one simulated cluster and its block of direct messages in another with
the same seed, each after the same preparation, and compares what came out, and the plan that
``explain`` collected with what the block calls.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.entry import Facades
from foundation.facade import explain
from foundation.kernel.values import Pid
from foundation.testing.cluster_sim import ClusterSimulation

SECTIONS = ("What this does:", "Equivalent direct messages::", "When to bypass:")
SEED = 11


async def nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Case:
    """One function with arguments to try it with.

    Attributes:
        function: of a facade.
        args: for it.
        kwargs: for it.
        before: what runs first, in both clusters.
        view: makes its result comparable; may be ``async``.
        part: takes out of both results what is compared; the rest depends on the time.
        given: further names for the block.
        left: returns what has become of the cluster, which is compared, too.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    before: Callable[[], Any] = nothing
    view: Callable[[Any], Any] = lambda result: result
    part: Callable[[Any], Any] = lambda result: result
    given: dict[str, Any] = field(default_factory=dict)
    left: Callable[[], Any] = nothing

    def __str__(self) -> str:
        return f"{self.function.__module__.split('.')[1]}.{self.function.__name__}"


def block_of(function: Callable[..., Any]) -> str:
    """Return the block of direct messages in the docstring of *function*."""
    doc = inspect.getdoc(function) or ""
    missing = [section for section in SECTIONS if section not in doc]
    assert not missing, f"the docstring of {function.__qualname__} lacks {missing}"
    _, _, rest = doc.partition(SECTIONS[1])
    lines = []
    for line in rest.splitlines()[1:]:
        if line.strip() and not line.startswith("    "):
            break
        lines.append(line)
    text = textwrap.dedent("\n".join(lines)).strip("\n")
    assert text, f"the block of {function.__qualname__} is empty"
    return text


def compiled(function: Callable[..., Any], names: dict[str, Any]) -> Callable[[], Any]:
    """Return an ``async def`` that runs the block and returns its last expression."""
    tree = ast.parse(block_of(function))
    last = tree.body[-1]
    assert isinstance(last, ast.Expr), f"the block of {function.__qualname__} has no result"
    tree.body[-1] = ast.copy_location(ast.Return(last.value), last)
    shell = ast.parse("async def block():\n    pass")
    shell.body[0].body = tree.body  # type: ignore[attr-defined]
    ast.fix_missing_locations(shell)
    namespace: dict[str, Any] = dict(names)
    exec(compile(shell, f"<direct messages of {function.__qualname__}>", "exec"), namespace)
    return namespace["block"]  # type: ignore[no-any-return]


def arguments(case: Case) -> dict[str, Any]:
    """Return the parameters of the function by name, as its body would see them."""
    bound = inspect.signature(case.function).bind(*case.args, **case.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


async def resolved(value: Any) -> Any:
    """Return *value*, awaited if need be."""
    return await value if inspect.isawaitable(value) else value


def comparable(value: Any) -> Any:
    """Return *value* with pids replaced by where they live: serials differ between clusters."""
    if isinstance(value, Pid):
        return ("pid of", value.host.partition("/")[0])
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: comparable(getattr(value, f.name)) for f in fields(value) if f.compare}
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(each) for each in value]
    return value


def run_facade(case: Case, size: int | None = None) -> tuple[Any, list[str]]:
    """Return what the function gave and left, and the names of the primitives that it called.

    *size*: how many nodes the cluster is told to expect.
    """

    async def body() -> tuple[Any, list[str]]:
        await resolved(case.before())
        with explain() as plan:
            result = await resolved(case.function(*case.args, **case.kwargs))
        seen = [step.function.__name__ for step in plan]
        found = comparable(case.part(await resolved(case.view(result))))
        return (found, comparable(await resolved(case.left()))), seen

    return _in_cluster(body, size)  # type: ignore[no-any-return]


def run_block(case: Case, size: int | None = None) -> Any:
    """Return what the block of direct messages gave and left; *size* as for ``run_facade``."""
    block = compiled(case.function, {**arguments(case), **case.given})

    async def body() -> Any:
        await resolved(case.before())
        found = comparable(case.part(await resolved(block())))
        return found, comparable(await resolved(case.left()))

    return _in_cluster(body, size)


def _in_cluster(body: Callable[[], Any], size: int | None) -> Any:
    app = [Facades.spec(id="facades", host="control")]
    config = ClusterConfig(strategies=(), expected_size=size)
    with ClusterSimulation(SEED, nodes=2, app=app, config=config) as cluster:
        cluster.form()
        return cluster.run("a", body)
