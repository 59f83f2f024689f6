"""The control host: starts worker and dedicated hosts, replaces those that die.

It alone declares a host dead, and makes sure of it (SIGKILL) before it says so, so that all
hosts agree. When the control host itself dies, so do its hosts, and the program starts anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import Any

from thespian.actors import ActorExitRequest, ChildActorExited

from foundation.kernel.reports import Notice
from foundation.runtime.frozen import Frozen
from foundation.runtime.host import Host
from foundation.runtime.host_actor import HostActor, HostLeaves
from foundation.runtime.messages import (
    Goodbye,
    HostConfig,
    HostReady,
    Inspect,
    Look,
    Looked,
    NodeReady,
    PeerDown,
    PeerUp,
)
from foundation.runtime.stock_orphans import watch_program

RESTARTS_AT_ONCE = 5  # replacements of one host within ...
RESTART_WINDOW = 10.0  # ... these seconds go without delay; further ones wait
RESTART_DELAY = 1.0  # seconds
LEAVE_SECONDS = 1.0  # that upper floors may take to say goodbye to other nodes
LOOK_SECONDS = 1.0  # between looks at the states of the hosts
INCARNATIONS = 100_000  # reserved for the hosts of one life of the control host


@dataclass
class Member:
    """A host that the control host has started."""

    config: HostConfig
    actor: Any
    os_pid: int = 0
    ready: bool = False
    opener: tuple[str, int] | None = None  # who asked for a dedicated host


class ControlHost(HostActor):
    """The actor of the control host."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.announced = False
        self.stopping = False
        self.leaving: asyncio.Task[None] | None = None
        self.frozen = Frozen()
        self.dedicated = 0
        self.asked = 0
        self.deaths: dict[str, list[float]] = {}

    def make_host(self, config: HostConfig, loop: asyncio.AbstractEventLoop) -> Host:
        """Make the host object and start the worker hosts."""
        host = super().make_host(config, loop)
        host.kernel.remote.handlers["host_open"] = self.open_host
        host.open_host = self.open_host  # type: ignore[method-assign]
        self.host = host
        for number in range(1, config.workers + 1):
            self._start(f"w{number}", "worker", self._first_incarnation())
        loop.call_soon(self._announce)
        loop.call_later(LOOK_SECONDS, self._look)
        return host

    def _look(self) -> None:
        """Kill hosts that somebody has stopped: they neither answer nor break connections."""
        assert self.host is not None
        now = self.host.driver.now()
        for address, member in self.members.items():
            if member.os_pid and self.frozen.too_long(member.os_pid, now):
                self.host.driver.report(
                    Notice("error", f"host {address} has been stopped; killing it")
                )
                os.kill(member.os_pid, signal.SIGKILL)
        self.host.loop.call_later(LOOK_SECONDS, self._look)

    def _first_incarnation(self) -> int:
        """Return an incarnation above any that hosts of an earlier control host had."""
        assert self.host is not None
        return (self.host.config.incarnation - 1) * INCARNATIONS + 1

    def _start(
        self, name: str, role: str, incarnation: int, opener: tuple[str, int] | None = None
    ) -> None:
        assert self.host is not None
        if self.stopping:
            return
        mine = self.host.config
        node = mine.address.partition("/")[0]
        peers = [(mine.address, mine.incarnation, self.myAddress), *mine.peers]
        peers += [
            (m.config.address, m.config.incarnation, m.actor)
            for m in self.members.values()
            if m.ready
        ]
        config = HostConfig(
            f"{node}/{name}",
            incarnation,
            role,
            mine.address,
            tuple(peers),
            mine.options,
            mine.workers,
        )
        actor = self.createActor(HostActor)
        self.members[config.address] = Member(config, actor, opener=opener)
        self.send(actor, config)

    def control(self, message: Any, sender: Any) -> bool:
        """Take what hosts say to their control host."""
        if isinstance(message, HostReady):
            self._ready(message)
        elif isinstance(message, ChildActorExited):
            return self._exited(message.childAddress)
        elif isinstance(message, HostLeaves):
            self._leaves(message.address)
        elif isinstance(message, Goodbye):
            self.stopping = True
            assert self.host is not None
            self.leaving = self.host.loop.create_task(self._extensions_leave())
        elif isinstance(message, Inspect):
            assert self.host is not None
            self.asked += 1
            self.host.inspector.gather(sender, self.asked)
        elif isinstance(message, Look):
            self._look_around(message, sender)
        else:
            return False
        return True

    def _look_around(self, look: Look, sender: Any) -> None:
        assert self.host is not None
        host = self.host

        def told(found: dict[str, Any]) -> None:
            host.tell(sender, Looked(found))

        host.kernel.turn(host.overlook.gather_whole, look, told)

    def _ready(self, message: HostReady) -> None:
        member = self.members.get(message.address)
        if member is None or member.config.incarnation != message.incarnation:
            return
        assert self.host is not None
        member.os_pid, member.ready = message.os_pid, True
        up = PeerUp(message.address, message.incarnation, member.actor)
        self._tell_all(up, but=message.address)
        for other in self.members.values():
            if other.ready and other is not member:
                self.send(
                    member.actor,
                    PeerUp(other.config.address, other.config.incarnation, other.actor),
                )
        self.send(self.parent, message)
        self.host.meet(message.address, message.incarnation, member.actor)
        self.host.in_service[message.address] = None
        if member.opener is not None:
            self._opened(*member.opener, message.address, "")
            member.opener = None
        self._announce()
        self._take_leave()

    def _announce(self) -> None:
        waiting = any(m.config.role == "worker" and not m.ready for m in self.members.values())
        if not waiting and not self.announced:
            assert self.host is not None
            self.announced = True
            # Not before each worker has heard of the others, or `host="w2"` may fail in w1.
            self.host.when_synced(self._node_ready)

    def _node_ready(self) -> None:
        assert self.host is not None
        pids = {address: m.os_pid for address, m in self.members.items()}
        self.send(self.parent, NodeReady({self.host.config.address: os.getpid(), **pids}))

    def _take_leave(self) -> None:
        """Say goodbye, once no host is in the middle of its start."""
        left = self.leaving is not None and self.leaving.done()
        if left and all(member.ready for member in self.members.values()):
            self.send(self.parent, Goodbye())

    async def _extensions_leave(self) -> None:
        assert self.host is not None
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                for extension in self.host.extensions:
                    await extension.leave()
        except Exception as error:
            self.host.driver.report(Notice("warning", f"the node left in disorder: {error!r}"))
        finally:
            self.host.loop.call_soon(self._take_leave)

    def _tell_all(self, message: Any, but: str, starting: bool = False) -> None:
        assert self.host is not None
        for _, _, actor in self.host.config.peers:
            self.send(actor, message)
        for address, member in self.members.items():
            # A host that is starting was told of the others when its start began.
            if (member.ready or starting) and address != but:
                self.send(member.actor, message)

    # Dedicated hosts

    def open_host(self, requester: str, number: int, label: str) -> None:
        """Start a dedicated host for *requester*."""
        self.dedicated += 1
        first = self._first_incarnation()
        self._start(f"d{self.dedicated}", "dedicated", first, (requester, number))

    def _opened(self, requester: str, number: int, address: str | None, error: str) -> None:
        assert self.host is not None
        if requester == self.host.config.address:
            self.host._on_opened(requester, number, address, error)
        else:
            self.host.kernel.remote.op(requester, ("host_opened", number, address, error))
            self.host.kernel.wake()

    def _leaves(self, address: str) -> None:
        member = self.members.get(address)
        if member is not None and member.config.role == "dedicated":
            self._remove(member, "normal")
            self.send(member.actor, ActorExitRequest(recursive=True))

    # Deaths

    def peer_lost(self, address: Any) -> None:
        """A connection broke: the program's end is ours, a host's end is dealt with."""
        if self.stopping:
            return  # Thespian ends us
        if address == self.parent:
            self._kill_all()
            os._exit(0)
        if not self._exited(address) and self.host is not None:
            self.host.connection_lost(address)

    def watch_program(self) -> None:
        """On a stock base: end when the process that started the node is gone."""
        assert self.host is not None
        config = self.host.config
        watch_program(self.host.loop, config.program, self._kill_all, config.borrowed)

    def _kill_all(self) -> None:
        for member in self.members.values():
            if member.os_pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.os_pid, signal.SIGKILL)

    def _exited(self, actor: Any) -> bool:
        for member in list(self.members.values()):
            if member.actor == actor:
                self._died(member)
                return True
        return False

    def _died(self, member: Member) -> None:
        if self.stopping:
            return
        if member.os_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.os_pid, signal.SIGKILL)  # dead for certain, before we say so
        self._remove(member, "killed")
        if member.opener is not None:
            self._opened(*member.opener, None, "the host died while it started")
        assert self.host is not None
        config = member.config
        self.host.driver.report(Notice("warning", f"host {config.address} died"))
        if config.role == "worker":
            delay = self._delay(config.address)
            name = config.address.partition("/")[2]
            if delay:
                self.host.loop.call_later(
                    delay, self._start, name, "worker", config.incarnation + 1
                )
            else:
                self._start(name, "worker", config.incarnation + 1)

    def _delay(self, address: str) -> float:
        assert self.host is not None
        now = self.host.driver.now()
        recent = [t for t in self.deaths.get(address, ()) if t > now - RESTART_WINDOW]
        self.deaths[address] = [*recent, now]
        return RESTART_DELAY if len(recent) >= RESTARTS_AT_ONCE else 0.0

    def _remove(self, member: Member, reason: str) -> None:
        assert self.host is not None
        config = member.config
        del self.members[config.address]
        down = PeerDown(config.address, config.incarnation, reason)
        self._tell_all(down, but=config.address, starting=True)
        self.host.lose(config.address, config.incarnation, reason)

    def close(self) -> None:
        """Stop; Thespian stops the children."""
        self.stopping = True
        super().close()


__all__ = ["ControlHost", "Member"]
