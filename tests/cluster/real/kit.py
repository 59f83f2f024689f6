"""Nodes as programs of their own, which a test starts, uses, hurts and stops.

Each cluster has a directory, a cookie and a name of its own, so that runs side by side do not
meet. All processes of a node carry a mark in their environment, by which they are found even
when their parents are gone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil

from foundation.cluster import ClusterConfig, View
from foundation.cluster.discovery import Loopback
from foundation.kernel.values import Pid
from tests.cluster.real.node_main import ROOT, Link

MAIN = Path(__file__).with_name("node_main.py")
BODIES = "tests.cluster.real.bodies"
START = 30.0  # seconds a node may take to start, and to stop
PATIENCE = 20.0  # seconds that anything else may take: the machine is busy
MARK = "FOUNDATION_TEST_REAL"
_numbers = itertools.count(1)


def eventually(
    condition: Callable[..., Any], *args: Any, what: str = "", seconds: float = PATIENCE
) -> Any:
    """Wait until *condition*, called with *args*, returns something true; return that.

    Raises:
        AssertionError: it did not within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition(*args)
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition.__qualname__}")
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that carry *mark*."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(process)
    return found


class Refused(Exception):
    """A node could not be started; the text is that of the error in it."""


class RealNode:
    """One life of one node. Made by ``RealCluster.begin``.

    Args:
        mark: of its processes.
        settings: for ``foundation.run``, and ``app`` and ``path``.
        log: file for what it writes.
        inside: what the command line begins with, to start it in a network namespace.
    """

    def __init__(
        self,
        mark: str,
        settings: dict[str, Any],
        log: Path,
        environment: dict[str, str],
        inside: list[str],
    ) -> None:
        self.name: str = settings["name"]
        self.settings = settings
        self.mark = mark
        self.log = log
        ours, theirs = socket.socketpair()
        with log.open("ab") as output, theirs:
            self.process = subprocess.Popen(
                [*inside, sys.executable, str(MAIN), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment, MARK: mark, "SPT_NOENV": "1"},
            )
        self._link = Link(ours)
        self._link.send(settings)
        self._asked: dict[int, Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._up: Future[int] = Future()
        self._gone = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"<RealNode {self.name}>"

    # The conversation with it

    def _read(self) -> None:
        while True:
            try:
                message = self._link.receive()
            except EOFError as error:
                self._lost(error)
                return
            if message[0] == "ready":
                self._up.set_result(message[1])
            elif message[0] == "failed":
                self._up.set_exception(Refused(message[1]))
            else:
                with self._lock:
                    future = self._asked.pop(message[0])
                self._answered(future, *message[1:])

    def _answered(self, future: Future[Any], ok: bool, data: bytes) -> None:
        try:
            value = pickle.loads(data)
        except Exception as error:
            ok, value = False, error
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)

    def _lost(self, error: Exception) -> None:
        with self._lock:
            self._gone = True
            asked, self._asked = self._asked, {}
        for future in (self._up, *asked.values()):
            if not future.done():
                future.set_exception(Refused(f"{self.name} is gone: {error!r}; {self.log}"))

    def ready(self) -> RealNode:
        """Wait until it runs.

        Raises:
            Refused: it could not be started.
        """
        self._up.result(START)
        return self

    def _ask(self, kind: str, function: str, args: tuple[Any, ...]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._gone:
                raise Refused(f"{self.name} is gone")
            number = next(self._numbers)
            self._asked[number] = future
        path = function if ":" in function else f"{BODIES}:{function}"
        self._link.send((number, kind, path, args))
        return future

    def begin(self, function: str, *args: Any) -> Future[Any]:
        """Run ``async def`` *function* (of ``bodies``, or ``"module:name"``) as a process there."""
        return self._ask("run", function, args)

    def run(self, function: str, *args: Any, timeout: float = PATIENCE) -> Any:
        """As ``begin``; wait for the result, raise what it raises."""
        return self.begin(function, *args).result(timeout)

    def do(self, function: str, *args: Any, timeout: float = PATIENCE) -> Any:
        """Call a plain *function* with the ``Node`` and *args* there."""
        return self._ask("do", function, args).result(timeout)

    # What it says of the cluster

    def view(self) -> View:
        """Return its view."""
        return self.do("view_of")[0]  # type: ignore[no-any-return]

    def settled(self, names: str) -> bool:
        """Whether all of *names* (of one letter each), and no others, agree on it there."""
        view, settled, ready = self.do("view_of")
        others = [name for name in view.names if name != self.name]
        return settled and "".join(view.names) == names and sorted(ready) == others

    def record(self) -> None:
        """Have it keep the events of the cluster from now on; see ``events``."""
        self.begin("record")
        eventually(lambda: self.do("recording"), what="the recorder of events")

    def events(self) -> list[tuple[float, Any]]:
        """Return ``(time.monotonic(), event)`` of all there were."""
        return self.do("recorded")  # type: ignore[no-any-return]

    def event(self, kind: type[Any], node: str, nth: int = 1) -> tuple[float, Any]:
        """Wait for the *nth* event of that kind about *node*."""

        def found() -> Any:
            seen = [(at, e) for at, e in self.events() if type(e) is kind and e.node == node]
            return seen[nth - 1] if len(seen) >= nth else None

        return eventually(found, what=f"{kind.__name__} {node} at {self.name}")  # type: ignore[no-any-return]

    def text(self) -> str:
        """Return what it has written."""
        return self.log.read_text(errors="replace")

    # Its processes

    def pid(self, host: str = "main") -> int:
        """Return the operating-system pid of a host: ``"main"``, ``"control"``, ``"w1"``."""
        if host == "main":
            return self._up.result(START)
        hosts: dict[str, int] = eventually(
            lambda: (h := self.do("hosts")) if f"{self.name}/{host}" in self.do("hosts") else None,
            what=f"host {host} of {self.name}",
        )
        return hosts[f"{self.name}/{host}"]

    def processes(self) -> list[psutil.Process]:
        """Return all its processes: program, admin, hosts, and what they started."""
        return [p for p in marked(self.mark) if p.status() != psutil.STATUS_ZOMBIE]

    def kill(self, host: str = "main") -> float:
        """SIGKILL the process of a host; return when."""
        return self.signal(signal.SIGKILL, host)

    def signal(self, number: int, host: str = "main") -> float:
        """Send a signal to the process of a host; return when."""
        pid = self.pid(host)
        now = time.monotonic()
        os.kill(pid, number)
        return now

    def freeze(self) -> float:
        """SIGSTOP every process of the node; return when."""
        found = self.processes()
        now = time.monotonic()
        for process in found:
            process.suspend()
        return now

    def thaw(self) -> float:
        """SIGCONT every process of the node; return when."""
        now = time.monotonic()
        for process in self.processes():
            process.resume()
        return now

    def crash(self) -> float:
        """SIGKILL every process of the node at once, as a power failure does; return when."""
        found = self.processes()
        now = time.monotonic()
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return now

    def term(self) -> float:
        """Stop it as a service manager does; return when. Does not wait."""
        now = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return now

    def stop(self) -> int:
        """Stop it in order; return its exit code once all its processes are gone."""
        self.term()
        code = self.process.wait(START)
        self.wait_gone()
        return code

    def wait_gone(self) -> None:
        """Wait until all its processes are gone."""
        self.process.wait(PATIENCE)
        eventually(lambda: not self.processes(), what=f"{self.name}: no process is left")
        self.release()

    def release(self) -> None:
        """Give up the socket and the thread that belong to it; its program may end for that."""
        self._link.close()
        self._reader.join()


class RealCluster:
    """The nodes of one test, and where they live. ``close`` checks that nothing is left."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fr-"))
        self.number = next(_numbers)
        self.name = f"real-{os.getpid()}-{self.number}"
        self.cookie = os.urandom(16).hex()
        self.lives: list[RealNode] = []
        self.nodes: dict[str, RealNode] = {}

    def config(self, **options: Any) -> ClusterConfig:
        """Return the settings of one node, found by loopback rendezvous unless *options* say."""
        strategies = (Loopback(self.folder / "rendezvous"),)
        return ClusterConfig(**{"name": self.name, "strategies": strategies, **options})

    def begin(
        self,
        name: str,
        *,
        app: str | None = None,
        hosts: int = 1,
        path: tuple[str, ...] = (),
        cookie: str | None = None,
        of: str | None = None,
        inside: tuple[str, ...] = (),
        **config: Any,
    ) -> RealNode:
        """Start a node; ``ready`` waits for it.

        Args:
            name: of the node.
            app: ``bodies`` function, or ``"module:name"``, which returns the application.
            hosts: how many workers.
            path: further entries of ``sys.path`` there.
            cookie: in place of that of the cluster.
            of: name of the cluster, in place of its own.
            inside: what the command line begins with.
            config: for ``ClusterConfig``.
        """
        if app is not None and ":" not in app:
            app = f"{BODIES}:{app}"
        settings = {
            "name": name,
            "app": app,
            "path": path,
            "hosts": hosts,
            "cookie": cookie or self.cookie,
            "cluster": self.config(**({"name": of} if of else {}), **config),
            "log_level": 20,
        }
        mark = f"{self.name}-{len(self.lives)}"
        environment = {"XDG_RUNTIME_DIR": str(self.folder), "PYTHONPATH": ROOT}
        log = self.folder / f"{name}-{len(self.lives)}.log"
        node = RealNode(mark, settings, log, environment, list(inside))
        self.lives.append(node)
        self.nodes[name] = node
        return node

    def start(self, name: str, **options: Any) -> RealNode:
        """Start a node and wait until it runs."""
        return self.begin(name, **options).ready()

    def form(self, names: str, **options: Any) -> list[RealNode]:
        """Start the nodes *names*, of one letter each, and wait until they agree."""
        started = [self.begin(name, **options) for name in names]
        for node in started:
            node.ready()
        self.agreed(names)
        return started

    def agreed(self, names: str) -> None:
        """Wait until exactly *names* are members for each of them, and agree on it."""
        for name in names:
            eventually(
                lambda name: self.nodes[name].settled(names), name, what=f"{names} at {name}"
            )

    def show(self) -> None:
        """Print what the nodes have written."""
        for log in sorted(self.folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")

    def close(self) -> list[str]:
        """Stop all; return what had to be killed, and what was in the logs that should not be."""
        alive = [node for node in self.lives if node.process.poll() is None]
        for node in alive:
            node.thaw()
            node.term()
        complaints = []
        for node in self.lives:
            complaints += self._end(node)
        for node in self.lives:
            node.release()
        if not complaints:
            shutil.rmtree(self.folder, ignore_errors=True)
        return complaints

    def _end(self, node: RealNode) -> list[str]:
        try:
            node.process.wait(START)
            eventually(lambda: not node.processes(), what="end", seconds=10.0)
        except (subprocess.TimeoutExpired, AssertionError):
            left = node.processes()
            names = [f"{p.pid} {' '.join(p.cmdline())[:80]}" for p in left]
            node.crash()
            node.process.kill()
            node.process.wait()
            return [f"{node!r} left processes {names}; see {node.log}"]
        return []


def watching(watcher: RealNode, pid: Pid) -> Future[Any]:
    """Have *watcher* monitor *pid*; the result is the ``Down`` message, and when it came."""
    result = watcher.begin("watch", pid)
    eventually(lambda: watcher.do("is_watched", pid), what="the monitor")
    return result
