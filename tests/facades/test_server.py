"""The servers of facades: a client's mistake is its own."""

from __future__ import annotations

import threading
from typing import Any

from foundation.entry import Facades
from foundation.facade import Failed
from foundation.otp import call, cast, whereis
from foundation.process_manager import SERVER, StartSingleton, start_singleton
from foundation.testing.cluster_sim import ClusterSimulation
from tests.process_manager.pmkit import Worker


def lone() -> ClusterSimulation:
    return ClusterSimulation(1, nodes=1, app=[Facades.spec(id="facades", host="control")])


def test_rubbish_is_answered_and_ends_nothing() -> None:
    with lone() as cluster:
        cluster.form()

        async def body() -> Any:
            pid, server = await start_singleton(Worker, name="w"), whereis(SERVER)
            for _ in range(300):
                answer = await call(SERVER, "rubbish")
                assert isinstance(answer, Failed)
                assert isinstance(answer.error, TypeError)
                cast(SERVER, "rubbish")
            assert whereis(SERVER) == server
            return pid == await start_singleton(Worker, name="w")

        assert cluster.run("a", body)


class Locked(Exception):
    """Cannot be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def leaving(error: BaseException) -> type:
    """Return a class of which a start cannot make a specification."""

    def spec(**options: Any) -> Any:
        raise error

    return type("Leaving", (), {"spec": staticmethod(spec)})


def test_a_caller_is_answered_whatever_is_raised() -> None:
    with lone() as cluster:
        cluster.form()

        async def body(make: Any) -> Any:
            return await call(SERVER, StartSingleton(make), timeout=5)

        for error in (SystemExit(3), KeyboardInterrupt()):
            answer = cluster.run("a", body, leaving(error))
            assert isinstance(answer, Failed)
