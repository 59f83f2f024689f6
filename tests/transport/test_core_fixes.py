"""The three defects of Thespian's core: gone on ours, still there on stock.

When a test "on stock" fails, Thespian has mended the defect: remove our fix.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from thespian.system import ratelimit, systemCommon
from thespian.system.actorManager import ActorManager
from thespian.system.multiprocCommon import ChildInfo, MultiProcReplicator
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

from foundation.errors import TransportError
from foundation.transport import core_fixes
from foundation.transport.addresses import actor_address
from tests.transport.actors import Flooder
from tests.transport.conftest import ROOT

pytestmark = pytest.mark.real


def experiment(base: str, name: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.transport.stock", base, name],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["result"]


class DeadProcess:
    """A `multiprocessing.Process` that has ended."""

    def is_alive(self) -> bool:
        return False

    def join(self, _timeout: float) -> None:
        pass


class Replicator(MultiProcReplicator):
    """The stock code with two children that died together; collects what it reports."""

    myAddress = actor_address("127.0.0.1", 1, 1)

    def __init__(self) -> None:
        self.transport = self
        self.reported: list[int] = []
        self._child_procs = [
            ChildInfo(actor_address("127.0.0.1", port, port), "Some", DeadProcess(), port)
            for port in (2, 3)
        ]

    def scheduleTransmit(self, _manager: Any, intent: Any) -> None:
        self.reported.append(intent.message.childAddress.addressDetails.sockname[1])


class MendedReplicator(core_fixes.ChildExits, Replicator):
    """The same with our fix."""


def exits(replicator: Any) -> list[int]:
    """One child's exit is handled; then the signal handler looks for others."""
    replicator._childExited(replicator._child_procs[0].childAddr)
    replicator.childDied()
    return replicator.reported


def test_the_second_of_two_simultaneous_exits_is_lost_on_stock_and_not_on_ours() -> None:
    assert exits(Replicator()) == []
    assert exits(MendedReplicator()) == [3]


def test_a_failed_exit_request_concerns_the_child_it_was_sent_to() -> None:
    class Manager(core_fixes.ChildExits, ActorManager):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def _handleChildExited(self, address: Any) -> None:
            self.seen.append(address)

    manager = Manager()
    manager._childInaccessible("the loop's last child", TransmitIntent("right", None))
    assert manager.seen == ["right"]


def test_stock_throttle_pauses_a_fast_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(ratelimit, "delay", pauses.append)
    throttle = ratelimit.RateThrottle(systemCommon.RATE_THROTTLE)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        throttle.eventRatePause(None)
    assert pauses


def test_our_actors_are_not_throttled(system: Any) -> None:
    sent, pauses = system.ask(system.createActor(Flooder), ("flood", 1.5), 30)
    assert sent > 1.5 * 2 * systemCommon.RATE_THROTTLE
    assert pauses == 0


def test_message_texts_are_not_made_on_ours_and_are_on_stock() -> None:
    assert experiment("ours", "formatted") == 0
    assert experiment("stock", "formatted") > 0


def test_the_starting_program_is_not_patched(system: Any) -> None:
    assert systemCommon.RATE_THROTTLE < core_fixes.NO_THROTTLE
    assert isinstance(ReceiveEnvelope(None, "x").identify(), str)
    assert isinstance(TransmitIntent(None, "x").identify(), str)


def test_the_patched_functions_are_where_we_expect_them() -> None:
    core_fixes.check_version()
    assert callable(MultiProcReplicator._childExited)
    assert callable(MultiProcReplicator.childDied)
    assert callable(ActorManager._childInaccessible)
    assert callable(ActorManager._shutdownActor)
    assert isinstance(systemCommon.RATE_THROTTLE, int)


def test_another_thespian_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_fixes, "SUPPORTED", "3.9.")
    with pytest.raises(TransportError, match="not supported"):
        core_fixes.check_version()


def test_lazy_text_is_made_when_looked_at() -> None:
    made = []
    text = core_fixes.LazyText(lambda: made.append(1) or "text")
    assert not made
    assert f"{text}" == str(text) == repr(text) == "text"
