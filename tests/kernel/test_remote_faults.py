"""Between hosts: what cannot be read, or sent, spoils nothing but itself; tables stay small."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import CallExit, Exit, Unsendable
from foundation.kernel import peer as peers
from foundation.kernel import remote as remotes
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import (
    call,
    cast,
    exit,
    link,
    monitor,
    receive,
    trap_exit,
)
from foundation.kernel.values import Crash, Down, ExitMsg
from foundation.otp.gen_server import GenServer
from foundation.testing import Simulation


def _refuse() -> Any:
    raise ValueError("cannot be read here")


class Unreadable:
    """Can be sent, but not read by the receiver."""

    __immutable__ = True

    def __reduce__(self) -> Any:
        return _refuse, ()


class Silent:
    """Can neither be sent nor shown."""

    __immutable__ = True

    def __reduce__(self) -> Any:
        raise ValueError("cannot be sent")

    def __repr__(self) -> str:
        raise ValueError("cannot be shown")


REASONS = {"unreadable": Unreadable, "silent": Silent}


class Server(GenServer):
    def init(self) -> None:
        self.got: list[Any] = []
        trap_exit()

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.got if request == "got" else request

    def handle_cast(self, request: Any) -> None:
        if request in REASONS:
            raise Exit(REASONS[request]())
        self.got.append(request)

    def handle_info(self, message: Any) -> None:
        self.got.append(type(message).__name__)


@pytest.mark.parametrize("kind", sorted(REASONS))
def test_a_reason_that_cannot_travel_is_still_told_to_link_monitor_and_caller(kind: str) -> None:
    async def body() -> None:
        trap_exit()
        server = await Server.start_link(host="w1")
        monitor(server)
        cast(server, kind)
        with pytest.raises(CallExit):
            await call(server, "got")
        told = [await receive(timeout=5), await receive(timeout=5)]
        assert {type(m) for m in told} == {Down, ExitMsg}
        assert all(type(m.reason) is Crash for m in told)

    with Simulation(1, hosts=2) as simulation:
        simulation.run(body)


def test_an_exit_signal_that_is_trapped_leaves_the_link() -> None:
    async def body(simulation: Simulation) -> None:
        trap_exit()
        server = await Server.start(host="w1")
        link(server)
        exit(server, "just a message")
        assert await call(server, "got") == ["ExitMsg"]
        simulation.crash_host("w1")
        assert await receive(timeout=5) == ExitMsg(server, "killed")

    with Simulation(1, hosts=2) as simulation:
        simulation.run(body, simulation)


def test_an_operation_that_fails_spoils_only_itself() -> None:
    def broken(host: str) -> None:
        raise RuntimeError("no FoundationError")

    async def body(simulation: Simulation) -> None:
        simulation.host("w1").kernel.remote.handlers["broken"] = broken
        server = await Server.start(host="w1")
        cast(server, 1)
        simulation.main.kernel.remote.op("sim/w1", ("broken",))
        cast(server, 2)
        assert await call(server, "got") == [1, 2]

    with Simulation(1, hosts=2) as simulation:
        simulation.run(body, simulation)


def test_a_frame_that_cannot_be_sent_stops_nothing_else() -> None:
    async def body(simulation: Simulation) -> None:
        driver: Any = simulation.main.kernel.driver
        send_frame = driver.send_frame

        def refusing(host: str, frame: bytes) -> None:
            if host == "sim/w1":
                raise ConnectionError("too long")
            send_frame(host, frame)

        first, second = await Server.start(host="w1"), await Server.start(host="w2")
        driver.send_frame = refusing
        cast(first, 1)
        cast(second, 1)
        assert await call(second, "got", timeout=5) == [1]
        driver.send_frame = send_frame
        assert await call(first, "got", timeout=5) == []

    with Simulation(1, hosts=3) as simulation:
        simulation.run(body, simulation)


def test_frames_are_bounded_and_one_message_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "MAX_FRAME", 10_000)
    monkeypatch.setattr(peers, "MAX_PAYLOAD", 50_000)
    sizes: list[int] = []

    async def body(simulation: Simulation) -> None:
        server = await Server.start(host="w1")
        driver: Any = simulation.main.kernel.driver
        send_frame = driver.send_frame

        def noting(host: str, frame: bytes) -> None:
            sizes.append(len(frame))
            send_frame(host, frame)

        driver.send_frame = noting
        parts = [bytes([n]) * 2_000 for n in range(20)]
        for part in parts:
            cast(server, part)
        assert await call(server, "got") == parts
        with pytest.raises(Unsendable):
            cast(server, bytes(60_000))
        with pytest.raises(Unsendable):
            await call(server, bytes(60_000))
        assert await call(server, bytes(40_000)) == bytes(40_000)

    with Simulation(1, hosts=2) as simulation:
        simulation.run(body, simulation)
    assert sorted(sizes)[-2] < 10_000


def test_tables_between_hosts_are_empty_after_use() -> None:
    async def _use() -> None:
        server = await Server.start(host="w1")
        monitor(server)
        link(server)
        assert await call(server, "got") == []
        cast(server, "unreadable")
        await receive(lambda m: isinstance(m, Down))

    async def main(simulation: Simulation) -> None:
        trap_exit()
        for _ in range(20):
            await _use()
        kernels: list[Kernel] = [simulation.main.kernel, simulation.host("w1").kernel]
        for kernel in kernels:
            for known in kernel.remote.peers.values():
                assert not known.calls
                assert not known.links
                assert not known.monitors
                assert not known.watched
                assert not known.spawning

    with Simulation(1, hosts=2) as simulation:
        simulation.run(main, simulation)
