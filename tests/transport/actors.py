"""Actors used by several tests; importable, so that spawned processes find them too."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from thespian.actors import (
    Actor,
    ActorExitRequest,
    ActorSystemMessage,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
)

from foundation.transport import watch_peer_loss


class Echo(Actor):
    """Answers with what it got, and does as told by some words."""

    received = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if isinstance(message, ActorSystemMessage):
            return
        self.received += 1
        word = message[0] if isinstance(message, tuple) and message else message
        handler = getattr(self, f"do_{word}", None) if isinstance(word, str) else None
        if handler is not None:
            handler(message, sender)
        else:
            self.send(sender, message)

    def do_pid(self, _message: Any, sender: Any) -> None:
        self.send(sender, os.getpid())

    def do_loop(self, _message: Any, sender: Any) -> None:
        self.send(sender, asyncio.get_running_loop().is_running())

    def do_later(self, message: Any, sender: Any) -> None:
        """Sends from loop callbacks, outside receiveMessage."""
        loop = asyncio.get_running_loop()
        for number in range(message[1]):
            loop.call_soon(self.send, sender, b"%d" % number)

    def do_count(self, _message: Any, sender: Any) -> None:
        self.send(sender, self.received)

    def do_quiet(self, _message: Any, _sender: Any) -> None:
        pass

    def do_sleep(self, message: Any, sender: Any) -> None:
        import time

        time.sleep(message[1])
        self.send(sender, "slept")

    def do_segfault(self, _message: Any, _sender: Any) -> None:
        ctypes.string_at(0)

    def do_crash_after_reply(self, _message: Any, sender: Any) -> None:
        self.send(sender, "never seen")
        os.kill(os.getpid(), signal.SIGKILL)

    def do_log(self, message: Any, sender: Any) -> None:
        logging.getLogger("test").warning(message[1])
        self.send(sender, "logged")

    def do_forward(self, message: Any, _sender: Any) -> None:
        self.send(message[1], message[2])

    def do_sockets(self, _message: Any, sender: Any) -> None:
        """The sockets among our descriptors that are listening."""
        import psutil

        mine = psutil.Process().net_connections()
        self.send(sender, sorted(c.laddr[1] for c in mine if c.status == psutil.CONN_LISTEN))

    def do_listen(self, _message: Any, sender: Any) -> None:
        self.extra = socket.create_server(("127.0.0.1", 0))
        self.send(sender, self.extra.getsockname()[1])

    def do_child(self, _message: Any, sender: Any) -> None:
        self.send(self.createActor(Echo), ("forward", sender, "child"))

    def do_thread_child(self, _message: Any, sender: Any) -> None:
        """Creates a child while a thread runs: fork would be unsafe."""
        import threading

        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        self.send(self.createActor(Echo), ("forward", sender, "spawned"))
        stop.set()
        thread.join()

    def do_subprocess(self, _message: Any, sender: Any) -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        self.send(sender, "ran")


class BytesFailing(Actor):
    """Fails on bytes; counts the attempts."""

    attempts = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if type(message) is bytes:
            self.attempts += 1
            raise ValueError("on purpose")
        if message == "attempts":
            self.send(sender, self.attempts)


class DeadLetters(Actor):
    """Collects dead letters and hands them out."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[Any] = []

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if message == "start":
            self.handleDeadLetters(True)
            self.send(sender, "started")
        elif isinstance(message, DeadEnvelope):
            self.letters.append(message.deadMessage)
        elif message == "letters":
            self.send(sender, self.letters)


class Watcher(Actor):
    """Reports lost peers to whom it was told."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if isinstance(message, tuple) and message[0] == "watch":
            watch_peer_loss(self, lambda address: self.send(sender, ("lost", address)))
            self.send(message[1], ("quiet",))
            self.send(sender, "watching")


class Killer(Actor):
    """Starts children, kills them all at once, reports their exits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, Any] = {}
        self.children: list[Any] = []
        self.pids: list[int] = []
        self.expected = 0
        self.exited: list[Any] = []
        self.client: Any = None

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if isinstance(message, ChildActorExited):
            if message.childAddress not in self.exited:
                self.exited.append(message.childAddress)
            if len(self.exited) == self.expected:
                self.send(self.client, ("exited", len(self.exited)))
        elif isinstance(message, tuple) and message[0] == "round":
            self.client, self.expected = sender, message[1]
            self.exited, self.pids = [], []
            self.children = [self.createActor(Echo) for _ in range(message[1])]
            for child in self.children:
                self.send(child, "pid")
        elif isinstance(message, int):
            self.pids.append(message)
            if len(self.pids) == self.expected:
                for pid in self.pids:
                    os.kill(pid, signal.SIGKILL)


class Worker(Actor):
    """Answers numbers; now and then it kills itself, at any point of the work."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if message == ("hello",):
            self.send(sender, ("pid", os.getpid()))
        if not isinstance(message, tuple) or message[0] != "job":
            return
        _, number, fatal = message
        if fatal == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        self.send(sender, ("done", number))
        if fatal == "after":
            os.kill(os.getpid(), signal.SIGKILL)


class Chaos(Actor):
    """Spreads jobs over workers that die at random; keeps the books.

    Each job is answered, or comes back as a dead letter, exactly once.
    """

    WORKERS = 6

    def __init__(self) -> None:
        super().__init__()
        self.answered: dict[int, int] = {}
        self.dead: dict[int, int] = {}
        self.workers: list[Any] = []
        self.sent = self.kills = self.exits = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if isinstance(message, DeadEnvelope):
            self._count(self.dead, message.deadMessage)
        elif isinstance(message, PoisonMessage):
            self._count(self.dead, message.poisonMessage)
        elif isinstance(message, ChildActorExited):
            self._replace(message.childAddress)
        elif isinstance(message, ActorExitRequest):
            pass
        elif message[0] == "done":
            self.answered[message[1]] = self.answered.get(message[1], 0) + 1
        elif message[0] == "pid":
            self.pids.append(message[1])
        elif message[0] == "start":
            self._start(*message[1:])
            self.send(sender, "started")
        elif message[0] == "more":
            self._send_jobs()
        elif message[0] == "books":
            self.send(sender, (self.sent, self.answered, self.dead, self.kills, self.exits))

    def _start(self, total: int, seed: int) -> None:
        import random

        self.random = random.Random(seed)
        self.total = total
        self.handleDeadLetters(True)
        self.pids: list[int] = []
        self.workers = [self._worker() for _ in range(self.WORKERS)]
        self.send(self.myAddress, ("more",))

    def _send_jobs(self) -> None:
        for _ in range(min(50, self.total - self.sent)):
            fatal = ""
            if self.random.random() < 0.002:
                fatal = self.random.choice(["before", "after"])
                self.kills += 1
            worker = self.random.choice(self.workers)
            self.send(worker, ("job", self.sent, fatal))
            self.sent += 1
        loop = asyncio.get_running_loop()
        if self.random.random() < 0.1:
            loop.call_later(self.random.random() * 0.005, self._shoot)
        if self.sent < self.total:
            loop.call_later(0.001, self.send, self.myAddress, ("more",))

    def _replace(self, address: Any) -> None:
        self.exits += 1
        for index, worker in enumerate(self.workers):
            if worker == address:
                self.workers[index] = self._worker()

    def _worker(self) -> Any:
        worker = self.createActor(Worker)
        self.send(worker, ("hello",))
        return worker

    def _shoot(self) -> None:
        """Kill a worker from outside, at whatever it is doing."""
        if self.pids:
            self.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pids.pop(self.random.randrange(len(self.pids))), signal.SIGKILL)

    def _count(self, book: dict[int, int], message: Any) -> None:
        if isinstance(message, tuple) and message[0] == "job":
            book[message[1]] = book.get(message[1], 0) + 1


class Flooder(Actor):
    """Sends to itself for a while, fast, and reports how often the core paused it."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        import time

        from thespian.system import ratelimit

        if isinstance(message, tuple) and message[0] == "flood":
            pauses: list[float] = []
            ratelimit.delay = pauses.append
            end, sent = time.monotonic() + message[1], 0
            while time.monotonic() < end:
                self.send(self.myAddress, "n")
                sent += 1
            self.send(sender, (sent, len(pauses)))


class Texted:
    """A message that counts how often somebody makes its text."""

    made = 0

    def __str__(self) -> str:
        Texted.made += 1
        return "texted"

    __repr__ = __str__


class SlowText(Actor):
    """Sends itself a message and says how often its text was made in this process."""

    client: Any = None

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if message == "ping":
            self.client = sender
            self.send(self.myAddress, Texted())
        elif isinstance(message, Texted):
            self.send(self.client, "pong")
        elif message == "texts":
            self.send(sender, Texted.made)
