"""Helpers for the tests of registries: a server that does what it is told, and many worlds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from foundation.errors import Exit
from foundation.kernel.ops import call, current, monitor, receive, send
from foundation.kernel.values import Down, Pid
from foundation.otp import registry
from foundation.otp.gen_server import GenServer
from foundation.testing import Simulation

SEEDS = range(3)


def everywhere(body: Callable[[], Any]) -> Callable[[Any], None]:
    """Make a test of *body*: on each driver, and on the simulator also with several hosts.

    Then the registry runs in another host than the body, and holders in a third one.
    """

    def test(run: Any) -> None:
        run(body)
        if run.name == "simulator":
            for hosts in (2, 3):
                for seed in SEEDS:
                    in_hosts(body, hosts, seed)

    test.__name__ = test.__qualname__ = body.__name__
    test.__doc__ = body.__doc__
    return test


def in_hosts(body: Callable[[], Any], hosts: int, seed: int, **options: Any) -> None:
    """Run *body* in a simulation of several hosts with delays; nothing may be left."""
    options = {"delay": (0.0001, 0.01), **options}
    with Simulation(seed, hosts=hosts, **options) as simulation:
        simulation.run(body)
        assert simulation.settle() == []
        simulation.advance(0.1)  # what hosts have still to tell each other
        for host in simulation.live_hosts():
            assert not host.kernel.tables["registries"].by_name
            assert not host.kernel.tables["registries"]._requests


def host_of(role: str) -> str | None:
    """Return where a *role* runs: in a host of its own when there are enough."""
    peers = list(current().kernel.remote.peers)
    name = {"registry": "sim/w1", "holder": "sim/w2"}[role]
    if name in peers:
        return name.removeprefix("sim/")
    return None


async def open_registry(name: str = "reg", **options: Any) -> Pid:
    """Start a registry, linked."""
    where = host_of("registry")
    if where is None:  # on the `processes` driver that means: in some worker host
        return await registry.Registry.start_link(name=name, **options)
    return await registry.Registry.start_link(name=name, host=where, **options)


class Holder(GenServer):
    """Calls the functions of ``foundation.otp.registry`` that it is told to."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "ping":
            return "pong"
        name, *args = request
        try:
            result = getattr(registry, name)(*args)
            return ("ok", await result if inspect.isawaitable(result) else result)
        except Exception as error:
            return ("raised", error)

    def handle_cast(self, request: Any) -> None:
        if request == "boom":
            raise ValueError("boom")
        raise Exit(request)


class Plain(GenServer):
    """Registers in plain ``def`` callbacks."""

    def init(self, key: Any, value: Any = None) -> None:
        registry.register("reg", key, value)

    def handle_call(self, request: Any, caller: Any) -> Any:
        name, *args = request
        try:
            result = getattr(registry, name)(*args)
        except Exception as error:
            return type(error).__name__
        return tuple(result) if isinstance(result, tuple) else None


async def holder(**options: Any) -> Pid:
    """Start a ``Holder``, linked."""
    where = host_of("holder")
    if where is not None:
        options["host"] = where
    return await Holder.start_link(**options)


async def ask(pid: Pid, name: str, *args: Any) -> Any:
    """Have the holder *pid* call a function of the registry."""
    how, value = await call(pid, (name, *args))
    if how == "raised":
        raise value
    return value


async def down(pid: Pid) -> Any:
    """Wait for the end of *pid*; return its reason."""
    ref = monitor(pid)
    message = await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=10)
    return message.reason


class Collector(GenServer):
    """Passes what it gets on to *to*."""

    def init(self, to: Pid) -> None:
        self.to = to

    def handle_info(self, message: Any) -> None:
        send(self.to, message)


def is_event(kind: str) -> Callable[[Any], bool]:
    """Return the test for messages ``(kind, ...)``."""
    return partial(_is_event, kind)


def _is_event(kind: str, message: Any) -> bool:
    return isinstance(message, tuple) and bool(message) and message[0] == kind
