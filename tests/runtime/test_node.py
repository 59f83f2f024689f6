"""A node from the outside: starting, calling, embedding, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import foundation
from foundation.errors import (
    BlockingCall,
    CallExit,
    CallTimeout,
    InvalidChildSpec,
    NodeError,
    NoProc,
    StartError,
)
from foundation.kernel import ops
from foundation.kernel.values import Down, ExitMsg
from foundation.otp.supervisor import Supervisor
from tests.runtime import apps

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the first true value of *condition*; errors of calls count as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := condition():
                return value
        except (CallExit, NoProc, NodeError) as error:
            value = error
        assert time.monotonic() < deadline, f"not in {seconds} s; last: {value!r}"
        time.sleep(0.01)


@pytest.mark.parametrize("hosts", [0, 2])
def test_blocking_node(hosts: int) -> None:
    with foundation.start(apps.Home, hosts=hosts) as node:
        assert node.call("one", "value") == 1
        assert (node.call("one", "pid") == os.getpid()) == (hosts == 0)
        node.cast("two", "cast")
        assert node.call("two", "value") == "cast"
        node.send("two", "info")
        assert node.call("two", "value") == "info"
        assert node.whereis("nobody") is None
        with pytest.raises(NoProc):
            node.call("nobody", 1)
        with pytest.raises(NoProc):
            node.send("nobody", 1)
        node.cast("nobody", 1)
        with pytest.raises(CallTimeout) as caught:
            node.call("one", "hang", timeout=0.05)
        assert "'hang'" in str(caught.value)
        with pytest.raises(CallExit) as crash:
            node.call("one", "crash")
        assert crash.value.reason.message == "asked to crash"
        assert until(lambda: node.call("one", "value")) == 1
    with pytest.raises(NodeError):
        node.call("one", "value")


@pytest.mark.parametrize("hosts", [0, 1])
def test_async_node_on_the_callers_loop(hosts: int) -> None:
    async def program() -> None:
        threads = threading.active_count()
        async with foundation.start(apps.Home, hosts=hosts) as node:
            assert await node.call("one", "value") == 1
            replies = await asyncio.gather(*(node.call("one", "value") for _ in range(50)))
            assert replies == [1] * 50
            assert threading.active_count() <= threads + 1  # the watchdog
            with pytest.raises(CallTimeout):
                await node.call("one", "hang", timeout=0.05)

    asyncio.run(program())


def test_a_server_runs_inside_the_program() -> None:
    async def body() -> tuple[int, int]:
        here = await apps.Where.start_link("here", name="here")
        return await ops.call(here, "pid"), await ops.call("one", "pid")

    with foundation.start(apps.Home, hosts=1) as node:
        here, there = node.run(body)
        assert here == os.getpid() != there


def test_started_in_a_thread_and_beside_a_running_loop() -> None:
    """As in a notebook or a web application: there are threads, and a loop runs already."""
    answers: list[Any] = []

    def blocking() -> None:
        with foundation.start(apps.Home, hosts=1) as node:
            answers.append(node.call("one", "value"))

    async def program() -> None:
        await asyncio.get_running_loop().run_in_executor(None, blocking)
        async with foundation.start(apps.Home, hosts=1) as node:
            answers.append(await node.call("two", "value"))

    asyncio.run(program())
    assert answers == [1, 2]


def test_two_nodes_in_one_program() -> None:
    with (
        foundation.start(apps.Home, hosts=1, name="left") as left,
        foundation.start(apps.Home, hosts=1, name="right") as right,
    ):
        left.cast("one", "left")
        assert (left.call("one", "value"), right.call("one", "value")) == ("left", 1)


def test_used_from_many_threads() -> None:
    with foundation.start(apps.Home, hosts=1) as node:
        results: list[Any] = []
        threads = [
            threading.Thread(target=lambda: results.append(node.call("one", "value")))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [1] * 20


def test_blocking_method_inside_a_process_is_refused() -> None:
    with foundation.start(apps.Home, hosts=0) as node:

        async def body() -> None:
            node.call("one", "value")

        with pytest.raises(NodeError, match="await call"):
            node.run(body)


def test_call_in_a_def_callback_is_refused() -> None:
    with foundation.start(None, hosts=0) as node:

        async def body() -> None:
            await BadServer.start()

        with pytest.raises(StartError) as caught:
            node.run(body)
        assert "async def" in caught.value.reason.message
        assert BlockingCall.__name__ in caught.value.reason.type


class BadServer(apps.Where):
    def init(self, value: Any = None) -> None:
        ops.call("one", "value")


def test_run_returns_what_the_function_raises() -> None:
    async def body() -> None:
        raise LookupError("mine")

    with foundation.start(None, hosts=0) as node, pytest.raises(LookupError, match="mine"):
        node.run(body)


def test_bad_arguments_are_refused_at_the_call() -> None:
    with pytest.raises(InvalidChildSpec):
        foundation.start(42)
    with pytest.raises(NodeError, match="hosts"):
        foundation.start(apps.Home, hosts=-1)
    with pytest.raises(NodeError, match="name"):
        foundation.start(apps.Home, name="a/b")


def test_an_application_that_cannot_start_leaves_nothing() -> None:
    class Broken(Supervisor):
        def init(self) -> Any:
            raise ValueError("broken init")

    with pytest.raises(StartError, match="broken init"), foundation.start(Broken, hosts=1):
        pass


def test_an_application_that_gives_up_fails_the_node() -> None:
    with foundation.start(apps.GivesUp, hosts=0) as node:
        for _ in range(20):
            try:
                node.call("fragile", "crash")
            except (CallExit, NodeError):
                pass
        until(lambda: node.asynchronous.program.failure)
        with pytest.raises(NodeError, match="has failed"):
            node.call("fragile", "value")


def host_pid(node: Any, name: str) -> int:
    return int(until(lambda: node.hosts().get(f"{node.name}/{name}")))


def test_killed_worker_tells_links_monitors_and_callers() -> None:
    with foundation.start(None, hosts=2, name="k") as node:

        async def body(os_pid: int) -> list[Any]:
            ops.trap_exit()
            pid = await apps.Where.start_link(host="w1")
            ref = ops.monitor(pid)
            me = ops.me()

            async def caller() -> None:
                try:
                    await ops.call(pid, "hang", timeout=None)
                except CallExit as error:
                    ops.send(me, ("call failed", error.reason))

            ops.spawn(caller)
            await ops.call(pid, "value")  # so the caller's request is there too
            await asyncio.sleep(0)
            os.kill(os_pid, signal.SIGKILL)
            got = [await ops.receive(timeout=5) for _ in range(3)]
            assert ExitMsg(pid, "killed") in got
            assert Down(ref, pid, "killed") in got
            assert ("call failed", "killed") in got
            return got

        node.run(body, host_pid(node, "w1"))
        # and the host is replaced
        until(lambda: node.hosts().get("k/w1"))

        async def again() -> Any:
            return await ops.call(await apps.Where.start_link(5, host="w1"), "value")

        assert until(lambda: node.run(again)) == 5


def test_application_moves_to_a_live_host() -> None:
    with foundation.start(apps.Home, hosts=2, name="m") as node:
        first = node.call("one", "pid")
        assert first == host_pid(node, "w1")
        os.kill(first, signal.SIGKILL)
        assert until(lambda: node.call("one", "pid") != first)
        assert until(lambda: node.call("two", "value")) == 2


def test_spread_children_come_back_and_count_as_one_restart() -> None:
    with foundation.start(apps.Spread, 12, hosts=2, home="control", name="sp") as node:
        pids = {node.call(f"s{n}", "pid") for n in range(12)}
        assert pids == {host_pid(node, "w1"), host_pid(node, "w2")}
        victim = host_pid(node, "w2")
        os.kill(victim, signal.SIGKILL)
        for n in range(12):
            assert until(lambda n=n: node.call(f"s{n}", "pid") != victim)
            assert node.call(f"s{n}", "value") == n


def test_control_host_is_restarted() -> None:
    with foundation.start(apps.Home, hosts=1, name="c") as node:
        os.kill(host_pid(node, "control"), signal.SIGKILL)
        first = node.hosts()
        assert until(lambda: node.hosts() != first and node.call("one", "value")) == 1


def test_dedicated_child_has_a_process_of_its_own() -> None:
    with foundation.start(apps.Dedicated, hosts=1, name="d") as node:
        own = node.call("own", "pid")
        assert own == node.hosts()["d/d1"]
        assert node.call("own", "value") == "own"
        os.kill(own, signal.SIGKILL)
        assert until(lambda: node.call("own", "pid") != own)
        again = node.call("own", "pid")
        with pytest.raises(CallExit):
            node.call("own", "crash")
        assert until(lambda: node.call("own", "pid") not in (own, again))
        until(lambda: not psutil.pid_exists(again))


def test_main_killed_takes_the_node_with_it() -> None:
    script = textwrap.dedent("""
        import sys, time, foundation
        from tests.runtime import apps
        if __name__ == "__main__":
            with foundation.start(apps.Dedicated, hosts=2) as node:
                node.call("own", "pid")
                print(*node.hosts().values(), node.call("own", "pid"), flush=True)
                time.sleep(600)
    """)
    main = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert main.stdout is not None
    pids = [int(word) for word in main.stdout.readline().split()]
    assert len(pids) >= 4
    main.kill()
    main.wait()
    main.stdout.close()
    until(lambda: not any(_running(pid) for pid in pids), 5)


def _running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_stops_the_tree_in_reverse_order(tmp_path: Path, number: int) -> None:
    path = tmp_path / "log"
    script = textwrap.dedent(f"""
        import sys, foundation
        from tests.runtime import apps
        if __name__ == "__main__":
            ready = lambda node: print(*node.hosts().values(), flush=True)
            sys.exit(foundation.run(apps.Ordered, {str(path)!r}, hosts=1, on_ready=ready))
    """)
    main = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert main.stdout is not None
    pids = [int(word) for word in main.stdout.readline().split()]
    main.send_signal(number)
    assert main.wait(20) == 0
    main.stdout.close()
    assert path.read_text().splitlines() == ["second shutdown", "first shutdown"]
    until(lambda: not any(_running(pid) for pid in pids), 5)


def test_run_ends_when_the_application_gives_up() -> None:
    script = textwrap.dedent("""
        import asyncio, sys, foundation
        from foundation.kernel import ops
        from tests.runtime import apps

        async def crash():  # the root restarts the tree three times, then gives up
            for _ in range(4):
                while (pid := ops.whereis("fragile")) is None or not ops.alive(pid):
                    await asyncio.sleep(0.01)
                ref = ops.monitor(pid)
                ops.exit(pid, "boom")
                await ops.receive(lambda m: m.ref == ref)

        if __name__ == "__main__":
            sys.exit(foundation.run(apps.GivesUp, hosts=0, on_ready=lambda n: n.run(crash)))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, timeout=30, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "the application ended" in done.stderr


def test_stock_base_runs_the_same_application() -> None:
    # In a process of its own, because stock leaves its sockets to the garbage collector.
    script = textwrap.dedent("""
        import os, signal, warnings, foundation
        from tests.runtime import apps
        from tests.runtime.test_node import until
        if __name__ == "__main__":
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", RuntimeWarning)
                with foundation.start(apps.Home, hosts=2, stock=True, name="st") as node:
                    assert node.call("one", "value") == 1
                    first = node.call("one", "pid")
                    os.kill(first, signal.SIGKILL)
                    assert until(lambda: node.call("one", "pid") != first)
            assert "stock" in str(caught[0].message)
            print("fine")
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, timeout=60, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("fine\n"), done.stderr
