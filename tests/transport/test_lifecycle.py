"""Processes end when they should: kill -9 of the program, the admin, the logger; forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from thespian.actors import ActorExitRequest

from foundation.transport import TransportConfig, open_system
from tests.transport.actors import DeadLetters, Echo
from tests.transport.conftest import COOKIE, ROOT, descendants, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.platform != "linux", reason="needs PDEATHSIG and pidfd"),
]


@pytest.fixture(params=[(), ("busy",), ("threads",), ("worker",)], ids=lambda p: "-".join(p))
def victim(request: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transport.victim", *request.param],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [p for p in found if "resource_tracker" not in " ".join(p.cmdline())]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_everything_ends_when_the_program_is_killed(victim: Any) -> None:
    process, _pids = victim
    family = tree(process)
    assert len(family) >= 6  # admin, logger, three actors, one child of an actor
    began = time.monotonic()
    process.kill()
    process.wait()
    wait_for(lambda: gone(family), 4.0, "the node's processes ended")
    print(f"all gone after {1000 * (time.monotonic() - began):.0f} ms")


def test_everything_ends_when_the_admin_is_killed(victim: Any) -> None:
    process, pids = victim
    family = tree(process)
    os.kill(pids["admin"], signal.SIGKILL)
    wait_for(lambda: gone(family), 4.0, "the node's processes ended")
    assert process.poll() is None  # the program itself goes on


def test_program_that_ends_without_shutdown_leaves_nothing() -> None:
    code = (
        "from foundation.transport import *\n"
        "from tests.transport.actors import Echo\n"
        "a = open_system(TransportConfig(cookie=b'x' * 32))\n"
        "print(a.ask(a.createActor(Echo), 'hi', 5))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.stdout == "hi\n"  # and the pipe was closed: nobody kept it
    assert done.returncode == 0


def test_a_killed_logger_is_replaced_and_actors_log_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    handler = {"class": "logging.FileHandler", "filename": str(log), "level": "WARNING"}
    defs = {"version": 1, "handlers": {"h": handler}, "root": {"handlers": ["h"]}}
    asys = open_system(TransportConfig(cookie=COOKIE), log_defs=defs)
    try:
        echo = asys.createActor(Echo)
        assert asys.ask(echo, ("log", "first"), 5) == "logged"
        wait_for(lambda: "first" in log.read_text(), what="the first record")
        logger = next(p for p in descendants() if "logger" in p.name() + " ".join(p.cmdline()))
        logger.kill()
        wait_for(lambda: not logger.is_running() or logger.status() == psutil.STATUS_ZOMBIE)

        def logs_again() -> bool:
            asys.ask(echo, ("log", "second"), 5)
            return "second" in log.read_text()

        wait_for(logs_again, what="a record through the new logger")
        assert asys.ask(asys.createActor(Echo), "new", 5) == "new"
    finally:
        asys.shutdown()


def test_a_segmentation_fault_ends_the_actor(system: Any) -> None:
    echo = system.createActor(Echo)
    pid = system.ask(echo, "pid", 5)
    system.tell(echo, "segfault")
    wait_for(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
        5,
    )
    assert system.ask(system.createActor(Echo), "others live", 5) == "others live"


def test_shutdown_with_a_busy_actor_ends_it_too(config: TransportConfig) -> None:
    asys = open_system(config)
    busy = asys.createActor(Echo)
    pid = asys.ask(busy, "pid", 5)
    asys.tell(busy, ("sleep", 100))
    base = asys._systemBase
    base.shutdown_limit = 1.0
    began = time.monotonic()
    asys.shutdown()
    assert time.monotonic() - began < 8
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_children_do_not_inherit_listeners_or_connections(system: Any) -> None:
    """A port of a dead actor is free even while its child lives on."""
    parent = system.createActor(Echo)
    port = system.ask(parent, "listen", 5)
    assert port in system.ask(parent, "sockets", 5)
    assert system.ask(parent, "child", 5) == "child"
    children = [child for child in descendants() if child.ppid() == system.ask(parent, "pid", 5)]
    assert len(children) == 1
    ports = {c.laddr[1] for c in children[0].net_connections("tcp")}
    assert port not in ports
    assert parent.addressDetails.sockname[1] not in ports


def test_fork_in_the_program_leaves_the_parents_connections_alone(system: Any) -> None:
    echo = system.createActor(Echo)
    assert system.ask(echo, 1, 5) == 1
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert system.ask(echo, 2, 5) == 2


def test_actors_may_run_subprocesses(system: Any) -> None:
    assert system.ask(system.createActor(Echo), "subprocess", 10) == "ran"


def test_a_crash_in_a_handler_sends_nothing_of_that_handler(system: Any) -> None:
    echo = system.createActor(Echo)
    assert system.ask(echo, 1, 5) == 1
    assert system.ask(echo, "crash_after_reply", 2) is None


def test_exit_request_ends_the_process(system: Any) -> None:
    echo = system.createActor(Echo)
    pid = system.ask(echo, "pid", 5)
    system.tell(echo, ActorExitRequest())
    wait_for(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )


def test_an_actor_with_threads_spawns_its_child(system: Any) -> None:
    assert system.ask(system.createActor(Echo), "thread_child", 20) == "spawned"
    spawned = [p for p in descendants() if "spawn_main" in " ".join(p.cmdline())]
    assert spawned or psutil.LINUX  # setproctitle may have renamed it


def test_messages_behind_an_exit_request_become_dead_letters(system: Any) -> None:
    """An ending actor says so to the senders of what it will not handle."""
    letters = system.createActor(DeadLetters)
    assert system.ask(letters, "start", 5) == "started"
    victim, relay = system.createActor(Echo), system.createActor(Echo)
    assert system.ask(victim, 1, 5) == 1
    system.tell(victim, ("sleep", 0.3))
    system.tell(relay, ("forward", victim, ActorExitRequest()))
    for number in range(200):
        system.tell(relay, ("forward", victim, ("quiet", number)))
    assert system.listen(5) == "slept"
    wait_for(lambda: len(system.ask(letters, "letters", 5)) == 200, what="200 dead letters")
    got = system.ask(letters, "letters", 5)
    assert got == [("quiet", number) for number in range(200)]
