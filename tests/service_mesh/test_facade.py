"""The facade hides nothing: equivalent messages, plans, requests to the server."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from foundation import facade, service_mesh
from foundation.errors import AlreadyRegistered
from foundation.facade import Failed, explain
from foundation.kernel.ops import receive, spawn
from foundation.kernel.values import Pid
from foundation.otp import call
from foundation.service_mesh import (
    SERVER,
    CallService,
    Deregister,
    DiscoverServices,
    ListServices,
    Register,
    Route,
    ServiceEntry,
    ServiceMesh,
    WaitFor,
)
from tests.service_mesh.meshsim import mesh, pids, serve

FUNCTIONS = (
    "register",
    "deregister",
    "discover_services",
    "list_services",
    "wait_for",
    "call",
    "route",
    "via",
)


def equivalent(function: Callable[..., Any]) -> str:
    """Return the block of the docstring under "Equivalent direct messages"."""
    text = inspect.getdoc(function) or ""
    after = text.partition("Equivalent direct messages::\n")[2]
    return textwrap.dedent(after.partition("\n\nWhen to bypass:")[0])


async def run_block(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run the block with the arguments of *function*; return the value of its last line."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    tree = ast.parse(equivalent(function))
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    tree.body[-1] = ast.Assign([ast.Name("result", ast.Store())], last.value)
    code = compile(ast.fix_missing_locations(tree), "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = dict(bound.arguments)
    value = eval(code, names)
    if inspect.isawaitable(value):
        await value
    return names["result"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_says_what_it_does_how_else_to_do_it_and_when(name: str) -> None:
    text = inspect.getdoc(getattr(service_mesh, name)) or ""
    order = [
        text.find(part)
        for part in ("What this does:", "Equivalent direct messages::\n", "When to bypass:")
    ]
    assert -1 not in order
    assert order == sorted(order)
    assert "import" in equivalent(getattr(service_mesh, name))
    assert getattr(ServiceMesh, name) is getattr(service_mesh, name)


def test_finding_directly_gives_the_same() -> None:
    async def body() -> None:
        for criteria in (
            {},
            {"name": "thumbs"},
            {"name": "nobody"},
            {"capabilities": ("x", "y")},
            {"node": "b"},
            {"metadata": {"zone": "eu"}},
            {"name": "thumbs", "healthy": None},
            {"healthy": False},
            {"where": lambda info: info.node != "a"},
        ):
            function: Any = service_mesh.discover_services
            found = function(**criteria)
            assert await run_block(function, **criteria) == found, criteria
            assert bool(found) == (criteria.get("name") != "nobody")
        assert await run_block(service_mesh.list_services) == service_mesh.list_services()
        waited = await service_mesh.wait_for("thumbs", 5.0, 2)
        assert await run_block(service_mesh.wait_for, "thumbs", 5.0, 2) == waited

    async def sick() -> None:
        from foundation.cluster import registry

        entry = ServiceEntry(healthy=False)
        await registry.register("foundation.services", "thumbs", entry)
        await receive()

    with mesh(1) as c:
        serve(c, "a", capabilities=("x", "y"), metadata={"zone": "eu"})
        serve(c, "b", capabilities=("x",))
        serve(c, "b", "other")
        c.spawn("c", sick)
        c.advance(0.5)
        c.run("c", body)


def test_registering_directly_gives_the_same() -> None:
    async def body() -> None:
        function = service_mesh.register
        options: dict[str, Any] = {"capabilities": ("x",), "metadata": {"zone": "eu"}}
        for other in (None, spawn(receive)):
            handle = await function("one", other, **options)
            assert await run_block(function, "two", other, **options) == type(handle)(
                "two", handle.pid
            )
            [one], [two] = service_mesh.discover("one"), service_mesh.discover("two")
            assert (one.pid, one.capabilities, one.metadata, one.instance) == (
                *(two.pid, two.capabilities, two.metadata),
                two.instance,
            )
            await service_mesh.deregister("two", other)
            await run_block(service_mesh.deregister, "one", other)
            assert service_mesh.discover() == []

    with mesh(2, nodes=1) as c:
        c.run("a", body)


def test_sending_directly_gives_the_same() -> None:
    async def body(pid: Pid) -> None:
        got = await service_mesh.call("thumbs", "who")
        assert got == await run_block(service_mesh.call, "thumbs", "who") == pid
        chosen = service_mesh.route("thumbs", "hello")
        assert await run_block(service_mesh.route, "thumbs", "hello") == chosen
        assert await call(pid, "got") == ["hello", "hello"]
        assert await run_block(service_mesh.via, "thumbs") == service_mesh.via("thumbs")

    with mesh(3, nodes=2) as c:
        c.run("b", body, serve(c, "a"))


def test_a_plan_shows_what_was_sent() -> None:
    async def body(pid: Pid) -> list[list[str]]:
        plans = []
        for act in (
            lambda: service_mesh.register("mine", ttl=5.0),
            lambda: service_mesh.discover("thumbs"),
            lambda: service_mesh.discover(capabilities=("x",)),
            lambda: service_mesh.call("thumbs", "who"),
            lambda: service_mesh.route("thumbs", 1),
            lambda: service_mesh.deregister("mine"),
        ):
            with explain() as plan:
                done = act()
                if inspect.isawaitable(done):
                    await done
            plans.append([step.path for step in plan])
            plans[-1] += [str(plan).partition("(")[0]] if len(plan) == 1 else []
        assert len(facade.watching.plans) == 0
        return plans

    with mesh(4, nodes=1) as c:
        plans = c.run("a", body, serve(c, "a"))
        registry = "foundation.cluster.registry"
        assert plans == [
            [f"{registry}.register", "foundation.service_mesh.keeper.keep"],
            [f"{registry}.lookup", "lookup"],
            [f"{registry}.select", "select"],
            ["foundation.otp.call", "call"],
            ["foundation.otp.cast", "cast"],
            [f"{registry}.unregister", "unregister"],
        ]


def test_each_function_is_a_message_to_the_server() -> None:
    async def body(server: Any, pid: Pid) -> None:
        other = spawn(receive)
        handle = await call(server, Register("mine", other, ("x",), {"zone": "eu"}))
        assert handle.pid == other
        assert isinstance(await call(server, Register("mine", other)), Failed)
        failed = await call(server, Register("mine", None))  # type: ignore[arg-type]
        assert isinstance(failed.error, TypeError)
        failed = await call(server, Register("mine", other))
        assert isinstance(failed.error, AlreadyRegistered)
        found = await call(server, WaitFor("mine"))
        assert [info.pid for info in found] == [other]
        assert await call(server, DiscoverServices("mine", ("x",), None, {"zone": "eu"})) == found
        assert await call(server, DiscoverServices("mine", healthy=False)) == []
        assert await call(server, ListServices()) == ["mine", "thumbs"]
        assert await call(server, CallService("thumbs", "who")) == pid
        assert (await call(server, Route("thumbs", "hello"))).pid == pid
        assert await call(pid, "got") == ["hello"]
        assert await call(server, Deregister("mine", other)) is None

    for server in (SERVER, (SERVER, "b")):
        with mesh(5) as c:
            c.run("c", body, server, serve(c, "a"))
            c.advance(0.5)
            assert pids(c, "b", "mine") == []
