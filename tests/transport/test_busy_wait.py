"""The selector that spins before it sleeps."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import foundation
from foundation.errors import TransportError
from foundation.runtime.program import NodeOptions
from foundation.transport import TransportConfig, busy_wait, usable_cores
from foundation.transport.busy_wait import BusyWaitSelector
from tests.transport.conftest import COOKIE


class Pair:
    """A selector that watches one end of a connection, and how often it gave way."""

    def __init__(self, seconds: float) -> None:
        self.selector = BusyWaitSelector(seconds)
        self.here, self.there = socket.socketpair()
        self.selector.register(self.here, selectors.EVENT_READ)
        self.spins = 0

    def spun(self) -> None:
        self.spins += 1

    def select(self, timeout: float | None) -> int:
        self.spins = 0
        return len(self.selector.select(timeout))


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    made = Pair(5.0)
    monkeypatch.setattr(busy_wait, "give_way", made.spun)
    yield made
    made.selector.close()
    made.here.close()
    made.there.close()


def test_an_idle_process_does_not_spin(pair: Pair) -> None:
    assert pair.select(0.01) == 0
    assert pair.spins == 0


def test_it_spins_after_something_has_happened(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.there.send(b"one")
    assert pair.select(None) == 1
    pair.here.recv(10)

    def answer() -> None:
        pair.spins += 1
        if pair.spins == 3:
            pair.there.send(b"two")

    monkeypatch.setattr(busy_wait, "give_way", answer)
    assert pair.select(None) == 1
    assert pair.spins == 3


def test_not_longer_than_the_timeout_and_then_never_again(pair: Pair) -> None:
    pair.there.send(b"one")
    assert pair.select(None) == 1
    pair.here.recv(10)
    assert pair.select(0.001) == 0  # 5 seconds of spinning were allowed
    assert pair.spins > 0
    assert pair.select(0.001) == 0
    assert pair.spins == 0


def test_a_look_without_waiting_does_not_spin(pair: Pair) -> None:
    pair.there.send(b"one")
    assert pair.select(None) == 1
    pair.here.recv(10)
    assert pair.select(0) == 0
    assert pair.spins == 0


@pytest.mark.parametrize("seconds", [-0.001, 0.011, float("nan"), "1", True])
def test_wrong_values_are_refused(seconds: Any) -> None:
    with pytest.raises(TransportError, match=r"busy_wait must be between 0 and 0\.01 seconds"):
        TransportConfig(cookie=COOKIE, busy_wait=seconds)
    with pytest.raises(TransportError, match="sleeps at once"):
        foundation.start(busy_wait=seconds)


@pytest.mark.parametrize(("cores", "worth"), [({3}, False), ({0, 3}, True)])
def test_what_counts_are_the_cores_that_the_process_may_use(
    cores: set[int], worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores, raising=False)
    assert usable_cores() == len(cores)
    assert busy_wait.worth_it() is worth
    assert NodeOptions("n").workers == len(cores)
    assert NodeOptions("n", hosts=5).workers == 5
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 8
