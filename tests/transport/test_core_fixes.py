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
from thespian.system.multiprocCommon import MultiProcReplicator
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

from foundation.errors import TransportError
from foundation.transport import core_fixes
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


def test_simultaneous_exits_are_all_reported_on_ours_and_not_on_stock() -> None:
    assert experiment("ours", "lost_exits") == 0
    assert experiment("stock", "lost_exits") > 0


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
