"""The driver ``processes``: bodies run in this program, their servers in worker hosts.

One node serves all tests of a session. A body's ``start`` and ``start_link`` without ``host=``
go to worker host ``w1``, so that calls, links and monitors cross operating-system processes;
``spawn`` stays beside the body. With ``FOUNDATION_TEST_STOCK`` in the environment the node runs
on Thespian's own transport.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from foundation.errors import FoundationError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import current, me, receive, send
from foundation.kernel.process import FunctionProcess
from foundation.kernel.starting import start
from foundation.kernel.values import Pid
from foundation.otp.application import INSTALLERS, Application
from foundation.runtime.messages import HostOptions
from foundation.runtime.node import Node
from foundation.runtime.program import NodeOptions
from foundation.testing.bodies import Body, leftovers, parked, set_done
from foundation.testing.drivers import BODY_SECONDS, GRACE_SECONDS, Runner, tasks_left

_HOME = "w1"
_INSTALL = "foundation.testing.processes:install"
_reports: list[Any] = []


def install(kernel: Kernel) -> None:
    """Collect the reports of all hosts in the program that runs the tests."""
    node, _, host = kernel.address.partition("/")
    driver: Any = kernel.driver
    if host == "main":
        driver._report = _reports.append
        kernel.remote.handlers["test_report"] = lambda peer, body: _reports.append(loads(body))
        return

    def report(value: Any) -> None:
        try:
            body = dumps(value)
        except FoundationError:
            body = dumps(repr(value))
        kernel.remote.op(f"{node}/main", ("test_report", body))

    driver._report = report


def probe(reply_to: Pid, kill: bool, keep: frozenset[Pid]) -> None:
    """Tell what is in this host; with *kill*, end every process but those to *keep*."""
    kernel = current().kernel
    mine = current()
    if kill:
        for pid in list(kernel.procs):
            if pid != mine.pid and pid not in keep:
                kernel.signals.signal(kernel.outside, pid, "kill")
    others = frozenset(kernel.procs) - {mine.pid}
    send(reply_to, (others, leftovers(kernel, keep | {mine.pid})))


class SharedNode:
    """The node of a test session, and what is done with it from the test's thread.

    Args:
        root: directory from which the hosts import test modules.
        hosts: worker hosts.
    """

    def __init__(self, root: str, hosts: int = 2) -> None:
        options = HostOptions(
            sys_path=(root, *sys.path), installers=(*INSTALLERS, _INSTALL), log_level=50
        )
        self._application = Application(
            (),
            NodeOptions(
                "test",
                hosts=hosts,
                stock=bool(os.environ.get("FOUNDATION_TEST_STOCK")),
                host_options=options,
            ),
        )
        self._hosts = tuple(f"w{n + 1}" for n in range(hosts))
        self.node: Node = self._application.open()
        try:
            self.kernel.placer.home = _HOME
            self.look()  # so that all connections are open before a test counts files
        except BaseException:
            self.close()
            raise

    @property
    def kernel(self) -> Kernel:
        """The kernel of this program."""
        return self.node.asynchronous.program.running.kernel

    def close(self) -> None:
        """Stop the node."""
        self._application.close()

    def look(self, kill: bool = False, keep: frozenset[Pid] = frozenset()) -> Look:
        """Return what there is in the hosts, but for *keep*."""
        return self.node.run(self._look, kill, keep)

    async def _look(self, kill: bool, keep: frozenset[Pid]) -> Look:
        pids = frozenset(self.kernel.procs)
        if kill:
            for pid in pids - keep - {me()}:
                self.kernel.signals.signal(self.kernel.outside, pid, "kill")
        lines = leftovers(self.kernel, keep | {me()})
        for host in self._hosts:
            payload: Any = (probe, (me(), kill, keep), {})
            await start(FunctionProcess, payload, where=host, timeout=5.0)
            others, left = await receive(timeout=5.0)
            pids |= others
            lines += left
        return Look(pids - {me()}, lines)


class Look(NamedTuple):
    """What was seen in the hosts: all processes; leftovers as text."""

    pids: frozenset[Pid]
    lines: list[str]


class ProcessesRunner(Runner):
    """Runs bodies in a host of the shared node."""

    name = "processes"

    def __init__(self, shared: SharedNode) -> None:
        super().__init__()
        self._shared = shared
        self._before: Look | None = None
        self._tasks_before: frozenset[Any] = frozenset()
        _reports.clear()
        self.reports = _reports

    def run_body(self, body: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run *body* in this program's host."""
        self._before = self._shared.look()
        running = self._shared.node.submit(self._run(body, args))
        return running.result()

    async def _run(self, body: Callable[..., Any], args: tuple[Any, ...]) -> Body:
        kernel, loop = self._shared.kernel, asyncio.get_running_loop()
        self._tasks_before = frozenset(tasks_left(loop))
        done = loop.create_future()
        running = Body(body, args, lambda: set_done(done))
        running.start(kernel)
        try:
            await asyncio.wait_for(done, BODY_SECONDS)
        except TimeoutError:
            lines = "\n  ".join(parked([kernel]))
            raise AssertionError(
                f"the body has not ended within {BODY_SECONDS} s. Waiting:\n  {lines}"
            ) from None
        return running

    def settle(self) -> list[str]:
        """Wait some seconds at most."""
        return [] if self.allow_leftovers else self._shared.node.submit(self._settle())

    async def _settle(self) -> list[str]:
        assert self._before is not None
        before, loop = self._before, asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        while True:
            seen = await self._shared.node.asynchronous.run(
                self._shared._look, False, before.pids
            )
            tasks = tasks_left(loop).items()
            lines = seen.lines + [t for task, t in tasks if task not in self._tasks_before]
            if not lines or loop.time() >= deadline:
                return lines
            await asyncio.sleep(0.01)

    def clean(self) -> None:
        """Kill what the body has left."""
        if self._before is not None:
            before, self._before = self._before, None
            self._shared.look(kill=True, keep=before.pids)
