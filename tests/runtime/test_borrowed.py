"""A node on a Thespian system of the user's: the system stays as it was, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from thespian.actors import Actor, ActorSystem

import foundation
from foundation.errors import NodeError
from foundation.otp import GenServer, Supervisor
from foundation.runtime.borrowed import end_processes
from foundation.transport import TransportConfig, open_system

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.real
SECRET = b"a secret of these tests"
QUIET = 1.0  # seconds: five times what an idle connection gets below


class Echo(Actor):  # type: ignore[misc]
    """A plain actor of the user's."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        if isinstance(message, str):
            self.send(sender, f"{message}!")


class Counter(GenServer):
    def init(self) -> None:
        self.count = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        self.count += 1
        return self.count, os.getpid()


class App(Supervisor):
    def init(self) -> list[Any]:
        return [Counter.spec(name="counter")]


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
    return value


def alive(os_pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(os_pid).status() != psutil.STATUS_ZOMBIE)
    return False


def ours(idle_close: float | None = 300.0) -> Any:
    return open_system(TransportConfig(cookie=SECRET, idle_close=idle_close))


@pytest.fixture
def system() -> Iterator[Any]:
    opened = ours()
    yield opened
    opened.shutdown()


def test_it_works_beside_the_users_actors_and_leaves_them_alone(system: Any) -> None:
    echo = system.createActor(Echo)
    assert system.ask(echo, "before", 5) == "before!"
    capabilities = dict(system.capabilities)
    pids: list[int] = []
    for _ in range(2):  # also a second node, after the first
        with foundation.start(App, hosts=2, actor_system=system) as node:
            assert node.actor_system is system
            count, os_pid = node.call("counter", "next")
            assert count == 1
            assert os_pid in node.hosts().values()
            assert system.ask(echo, "during", 5) == "during!"
            pids += node.hosts().values()
        assert not [os_pid for os_pid in pids if alive(os_pid)]
        assert system.ask(echo, "after", 5) == "after!"
    assert system.ask(system.createActor(Echo), "anew", 5) == "anew!"
    assert system.capabilities == capabilities


def test_the_same_inside_an_asyncio_program(system: Any) -> None:
    async def main() -> list[int]:
        async with foundation.start(App, hosts=1, actor_system=system) as node:
            assert (await node.call("counter", "next"))[0] == 1
            return list(node.hosts().values())

    assert not [os_pid for os_pid in asyncio.run(main()) if alive(os_pid)]
    assert system.ask(system.createActor(Echo), "after", 5) == "after!"


STOCK = """
import os, foundation
from foundation.runtime.stock_system import open_stock_system
from foundation import channels, process_manager
from foundation.errors import NotInCluster
from tests.runtime.test_borrowed import App, Counter, Echo, alive

async def start():
    await process_manager.start_singleton(Counter, name="one")

async def broadcast():
    channels.broadcast("events", 1)

if __name__ == "__main__":
    system = open_stock_system(0)
    try:
        echo, pids = system.createActor(Echo), []
        for options in ({"cluster": True}, {"facades": True}):
            try:
                foundation.start(None, actor_system=system, **options)
            except foundation.NodeError as error:
                assert "an actor_system on a stock base" in str(error), error
                assert "foundation.transport.open_system" in str(error), error
            else:
                raise AssertionError("a cluster on a stock system was not refused")
        for _ in range(2):
            with foundation.start(App, hosts=2, actor_system=system) as node:
                count, os_pid = node.call("counter", "next")
                assert count == 1 and os_pid in node.hosts().values()
                assert system.ask(echo, "during", 5) == "during!"
                pids += node.hosts().values()
                for facade in (start, broadcast):
                    try:
                        node.run(facade)
                    except NotInCluster as error:
                        assert "foundation.transport.open_system" in str(error), error
                    else:
                        raise AssertionError("a facade on a stock system was not refused")
            assert len(set(pids)) == len(pids) and not any(map(alive, pids)), pids
            assert system.ask(echo, "after", 5) == "after!"
        assert system.ask(system.createActor(Echo), "anew", 5) == "anew!"
    finally:
        system.shutdown()
    print("done")
"""


def test_a_stock_system_too(tmp_path: Path) -> None:
    # A program of its own, as stock leaves its sockets to the garbage collector.
    script = tmp_path / "program.py"
    script.write_text(STOCK)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.stdout == "done\n", ended.stderr


ORPHANS = """
import os, sys, time, foundation
from thespian.actors import ActorSystem
from tests.runtime.test_borrowed import App

if __name__ == "__main__":
    system = ActorSystem("multiprocTCPBase", {"Admin Port": int(sys.argv[1])}, transientUnique=True)
    with foundation.start(App, hosts=1, actor_system=system) as node:
        print(*node.hosts().values(), flush=True)
        time.sleep(60)
"""


def test_a_stock_system_outlives_a_program_that_is_killed_and_its_hosts_do_not(
    tmp_path: Path,
) -> None:
    owner = tmp_path / "owner.py"
    owner.write_text(OWNER)
    script = tmp_path / "program.py"
    script.write_text(ORPHANS)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "THESPIAN_BASE_IPADDR": "127.0.0.1"}
    python = [sys.executable, "-W", "ignore"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen([*python, str(owner)], **pipes) as owning:
        assert owning.stdout is not None
        port = owning.stdout.readline().strip()
        with subprocess.Popen([*python, str(script), port], **pipes) as program:
            assert program.stdout is not None
            hosts = [int(each) for each in program.stdout.readline().split()]
            assert len(hosts) == 2
            program.kill()
        until(lambda: not any(map(alive, hosts)))
        assert owning.communicate("go on\n", 30)[0] == "works!\n"


OWNER = """
import socket
from thespian.actors import ActorSystem
from tests.runtime.test_borrowed import Echo

if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    system = ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)
    try:
        print(port, flush=True)
        input()
        print(system.ask(system.createActor(Echo), "works", 5), flush=True)
    finally:
        system.shutdown()
"""


def test_two_nodes_share_one_system() -> None:
    system = ours()
    try:
        with (
            foundation.start(App, name="a", hosts=1, actor_system=system) as a,
            foundation.start(App, name="b", hosts=1, actor_system=system) as b,
        ):
            assert a.call("counter", "next")[1] != b.call("counter", "next")[1]
            a.call("counter", "next")
            assert b.call("counter", "next")[0] == 2
    finally:
        system.shutdown()


def test_hosts_that_die_are_replaced_though_the_system_closes_idle_connections() -> None:
    system = ours(idle_close=0.2)
    try:
        with foundation.start(App, hosts=1, name="n", actor_system=system) as node:
            control, worker = node.hosts()["n/control"], node.hosts()["n/w1"]
            time.sleep(QUIET)
            os.kill(worker, signal.SIGKILL)
            until(lambda: node.hosts().get("n/w1", worker) != worker, 3.0)
            time.sleep(QUIET)
            os.kill(control, signal.SIGKILL)
            until(lambda: node.hosts().get("n/control", control) != control, 3.0)
            until(lambda: _answers(node))
    finally:
        system.shutdown()


def _answers(node: Any) -> bool:
    with contextlib.suppress(foundation.CallExit):
        return bool(node.call("counter", "next", timeout=1.0)[0])
    return False


def test_a_start_that_fails_leaves_no_host_and_a_working_system(system: Any) -> None:
    class Broken(Supervisor):
        def init(self) -> list[Any]:
            raise ValueError("cannot start")

    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with (
        pytest.raises(foundation.FoundationError),
        foundation.start(Broken, hosts=1, home="main", actor_system=system),
    ):
        raise AssertionError("unreachable")
    left = {p.pid for p in psutil.Process().children(recursive=True)} - before
    assert not [os_pid for os_pid in left if alive(os_pid)]
    assert system.ask(system.createActor(Echo), "after", 5) == "after!"


@pytest.mark.parametrize(
    "options",
    [{"cookie": "c" * 32}, {"port": 4000}, {"stock": True}, {"uvloop": True}, {"busy_wait": 0.0}],
)
def test_how_to_open_a_system_is_not_said_twice(options: dict[str, Any]) -> None:
    system = ours()
    try:
        (name,) = options
        with pytest.raises(NodeError, match=f"^{name}= says how"):
            foundation.start(App, actor_system=system, **options)
        with pytest.raises(NodeError, match="hosts=0 leaves none"):
            foundation.start(App, actor_system=system, hosts=0)
    finally:
        system.shutdown()


def test_what_is_no_system_for_hosts_is_refused() -> None:
    with pytest.raises(NodeError, match="must be a thespian ActorSystem, got 5"):
        foundation.start(App, actor_system=5)
    gone = ours()
    gone.shutdown()
    with pytest.raises(NodeError, match="has been shut down"):
        foundation.start(App, actor_system=gone)
    simple = ActorSystem("simpleSystemBase", transientUnique=True)
    try:
        with pytest.raises(NodeError, match="runs on simpleSystemBase"):
            foundation.start(App, actor_system=simple)
    finally:
        simple.shutdown()


def test_processes_that_do_not_end_in_time_are_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stubborn:
        asyncio.run(end_processes([stubborn.pid, 2**22 + 1], 0.05))
        assert stubborn.wait(5) == -signal.SIGKILL
