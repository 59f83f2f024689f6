"""Actors that are killed -9 under load: every message has exactly one fate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.transport.actors import Chaos, Killer
from tests.transport.conftest import wait_for

pytestmark = pytest.mark.real


def chaos(system: Any, total: int, seed: int, seconds: float) -> tuple[int, int]:
    boss = system.createActor(Chaos)
    assert system.ask(boss, ("start", total, seed), 20) == "started"

    def settled() -> Any:
        books = system.ask(boss, ("books",), 20)
        if books is None:
            return None
        sent, answered, dead, _kills, _exits = books
        return books if sent == total and len(answered) + len(dead) >= total else None

    sent, answered, dead, kills, exits = wait_for(settled, seconds, "all jobs have a fate")
    assert sent == total
    both = set(answered) & set(dead)
    neither = set(range(total)) - set(answered) - set(dead)
    twice = [number for book in (answered, dead) for number, n in book.items() if n > 1]
    assert (len(both), len(neither), len(twice)) == (0, 0, 0)
    assert kills > 0
    assert exits > 0
    assert len(answered) > total / 2
    return kills, len(dead)


def test_every_message_is_answered_or_dead_lettered_exactly_once(system: Any) -> None:
    chaos(system, 4000, seed=1, seconds=60)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(7))
def test_twenty_thousand_messages(system: Any, seed: int) -> None:
    kills, _dead = chaos(system, 20_000, seed, seconds=300)
    assert kills >= 20


def rounds(system: Any, count: int) -> None:
    killer = system.createActor(Killer)
    for number in range(count):
        assert system.ask(killer, ("round", 6), 10) == ("exited", 6), f"round {number}"


def test_six_children_killed_at_once_are_all_reported(system: Any) -> None:
    rounds(system, 10)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_six_children_killed_at_once_a_hundred_times(system: Any) -> None:
    rounds(system, 100)
