"""One machine, driven by hand: what it says to exactly which input."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from foundation.cluster.membership import Record, Swim
from foundation.cluster.membership.wire import pack_item
from foundation.cluster.timing import LAN


def record(name: str, incarnation: int = 1, status: str = "alive", **more: Any) -> Record:
    generation = more.pop("generation", 1)
    return Record(name, generation, incarnation, status, f"{name}:1", **more)


class Driven:
    """A machine ``me`` that knows some others, at time 100."""

    def __init__(self, *others: str) -> None:
        self.swim = Swim(name="me", address="me:1", generation=1, cluster="c", rng=Random(1))
        self.now = 100.0
        self.swim.start(self.now)
        self.hear("boss", *[record(name) for name in ("boss", *others)])
        for _ in range(40):  # what there was to tell is told
            self.swim.news.clear()
            self.sent()
        self.events()

    def hear(self, sender: str, *records: Record, accuser: str = "", code: str = "news") -> None:
        items = [pack_item(r, accuser) for r in records]
        more = (False,) if code == "sync" else ()
        self.receive(sender, f"swim.{code}", sender, 1, items, *more)

    def receive(self, sender: str, *message: Any) -> None:
        self.swim.receive(self.now, f"{sender}:1", message)
        self.swim.check()

    def tick(self, after: float) -> None:
        self.now += after
        self.swim.tick(self.now)
        self.swim.check()

    def sent(self, code: str = "") -> list[tuple[str, tuple[Any, ...]]]:
        messages, self.swim.outbox[:] = list(self.swim.outbox), []
        return [m for m in messages if m[1][0].startswith(f"swim.{code}")]

    def events(self) -> list[tuple[Any, ...]]:
        events, self.swim.events[:] = list(self.swim.events), []
        return events

    def status(self, name: str) -> str:
        found = self.swim.record(name)
        assert found is not None
        return found.status

    def wait(self, seconds: float) -> None:
        """Tick as asked, until then."""
        end = self.now + seconds
        while self.swim.next_wake <= end:
            self.tick(max(0.0, self.swim.next_wake - self.now))
        self.now = end


@pytest.mark.parametrize("messages_first", [True, False])
def test_a_pause_during_a_suspicion_buries_nobody(messages_first: bool) -> None:
    """The refutation waits in the inbox while the deadline has long passed (S3, L3)."""
    d = Driven("a", "b")
    d.hear("b", record("a", status="suspect"), accuser="b")
    d.now += 60
    if not messages_first:
        d.tick(0)
    assert d.status("a") == "suspect"
    d.hear("b", record("a", incarnation=2))
    d.tick(0)
    assert [event[0] for event in d.events()] == ["suspect", "alive"]


@pytest.mark.parametrize("pause", [0.5, 60.0])
def test_a_pause_during_a_probe_accuses_nobody(pause: float) -> None:
    d = Driven("a")
    while not (pings := d.sent("ping")):
        d.tick(max(0.0, d.swim.next_wake - d.now))
    d.tick(pause)
    assert d.events() == []
    assert not d.sent("ask")
    for address, (_, number, *_rest) in pings:
        name = address.removesuffix(":1")
        d.receive(name, "swim.ack", number, name, 1, "", ())
    d.tick(0.3)
    assert d.events() == []


def test_one_pause_after_another_during_a_suspicion_buries_nobody() -> None:
    d = Driven("a", "b")
    d.hear("b", record("a", status="suspect"), accuser="b")
    for _ in range(3):
        d.tick(1.5)
        d.tick(0.01)
    assert d.status("a") == "suspect"


def test_a_suspect_that_stays_silent_is_buried_after_a_pause_too() -> None:
    d = Driven("a")
    d.hear("boss", record("a", status="suspect"), accuser="boss")
    d.tick(60)
    d.wait(LAN.suspicion_max)
    assert d.status("a") == "dead"


def test_the_refutation_goes_to_the_accuser_directly_and_to_others_as_gossip() -> None:
    d = Driven("a", "b", "c", "d", "e", "f")
    me = d.swim.record("me")
    assert me is not None
    accused = Record("me", 1, me.incarnation, "suspect", "me:1")
    d.hear("b", accused, accuser="a")
    ((address, message),) = d.sent()
    assert address == "a:1"
    assert message[3][0][:4] == ("me", 1, me.incarnation + 1, "alive")
    d.hear("b", accused, accuser="a")  # once more: it is refuted already
    d.tick(0)
    news = [m for m in d.sent("news") if m[1][3][0][0] == "me"]
    assert len(news) == 3
    refuted = d.swim.record("me")
    assert refuted is not None
    assert refuted.incarnation == me.incarnation + 1


def test_news_of_my_death_is_refuted() -> None:
    d = Driven("a")
    me = d.swim.record("me")
    assert me is not None
    d.hear("a", Record("me", 1, me.incarnation, "dead", "me:1", reason="killed"))
    mine = d.swim.record("me")
    assert mine is not None
    assert (mine.status, mine.incarnation) == ("alive", me.incarnation + 1)
    assert d.events() == []


def test_a_suspect_is_told_by_each_ping_and_pinged_every_probe_timeout() -> None:
    d = Driven("a", "b")
    d.swim.lost(d.now, "a:1", False)
    assert d.events()[0][0] == "suspect"
    d.wait(LAN.suspicion_max - 0.01)
    pings = [m for address, m in d.sent("ping") if address == "a:1"]
    assert len(pings) >= LAN.suspicion_max / LAN.probe_timeout
    for ping in pings:
        item = ping[6][0]
        assert (item[0], item[3], item[9]) == ("a", "suspect", "me")
    assert d.status("a") == "suspect"
    d.wait(0.02)
    assert d.status("a") == "dead"


def test_confirmations_shorten_a_suspicion_and_are_passed_on() -> None:
    d = Driven("a", "b", "c", "d", "e")
    suspect = record("a", status="suspect")
    d.hear("b", suspect, accuser="b")
    d.swim.news.clear()
    for accuser in ("c", "c", "d", "e"):
        d.hear(accuser, suspect, accuser=accuser)
    assert d.swim.news.names() == ["a"]
    d.wait(LAN.suspicion_min + 0.01)
    assert d.status("a") == "dead"


def test_gossip_of_silence_about_one_that_just_answered_is_a_suspicion() -> None:
    """M4."""
    d = Driven("a", "b")
    d.swim.heard(d.now, "a", 1)
    d.hear("b", record("a", status="dead", reason="silent"))
    assert d.status("a") == "suspect"
    d.swim.heard(d.now, "b", 1)
    d.hear("boss", record("b", status="dead", reason="killed"))
    assert d.status("b") == "dead"


def test_gossip_of_silence_is_believed_otherwise_but_a_list_is_not() -> None:
    d = Driven("a", "b")
    d.now += 5
    d.hear("b", record("a", status="dead", reason="silent"))
    assert d.status("a") == "dead"
    d.hear("a", record("b", status="dead", reason="killed"), code="sync")
    assert d.status("b") == "suspect"


def test_an_old_life_that_speaks_is_told_of_the_new_one_and_not_acknowledged() -> None:
    """V1."""
    d = Driven("a")
    d.hear("boss", record("a", generation=2))
    d.sent()
    d.receive("a", "swim.ping", 1, "a", 1, "me", 1, ())
    ((address, message),) = d.sent()
    assert (address, message[0], message[3][0][:2]) == ("a:1", "swim.news", ("a", 2))


def test_a_ping_for_another_life_or_node_is_not_acknowledged() -> None:
    """V4."""
    d = Driven("a")
    for target, generation in (("me", 2), ("other", 1)):
        d.receive("a", "swim.ping", 1, "a", 1, target, generation, ())
        ((_, message),) = d.sent()
        assert (message[0], message[3][0][:2]) == ("swim.news", ("me", 1))


def test_a_stranger_that_knows_us_is_acknowledged_and_joined() -> None:
    """V3."""
    d = Driven("a")
    d.receive("x", "swim.ping", 1, "x", 1, "me", 1, ())
    assert [(address, m[0]) for address, m in d.sent()] == [
        ("x:1", "swim.join"),
        ("x:1", "swim.ack"),
    ]


def test_a_helper_answers_with_the_ack_or_with_a_nack() -> None:
    d = Driven("a", "b")
    d.receive("b", "swim.ask", 77, "b", 1, "a", 1, "a:1", ())
    ((address, ping),) = d.sent()
    assert (address, ping[0]) == ("a:1", "swim.ping")
    d.receive("a", "swim.ack", ping[1], "a", 1, "", ())
    ((address, ack),) = d.sent()
    assert (address, ack[:5]) == ("b:1", ("swim.ack", 77, "a", 1, "me"))
    d.receive("b", "swim.ask", 78, "b", 1, "a", 1, "a:1", ())
    d.wait(LAN.probe_interval - LAN.probe_timeout)
    assert [(a, m) for a, m in d.sent("nack")] == [("b:1", ("swim.nack", 78, "me", 1))]
    assert d.status("a") == "alive"


def test_higher_generation_elsewhere_is_a_conflict_told_once() -> None:
    d = Driven("a")
    rival = Record("me", 9, 0, "alive", "elsewhere:1")
    d.hear("a", rival)
    d.hear("a", rival)
    assert d.events() == [("conflict", rival)]
    assert d.swim.generation == 1


def test_higher_generation_at_our_address_was_an_earlier_life() -> None:
    d = Driven("a")
    d.hear("a", Record("me", 9, 0, "alive", "me:1"))
    assert d.events() == [("generation", 10)]
    assert d.swim.generation == 10


def test_killed_is_known_better_than_silent_without_a_second_event() -> None:
    d = Driven("a")
    d.now += 5
    d.hear("boss", record("a", status="dead", reason="silent"))
    d.hear("boss", record("a", status="dead", reason="killed"))
    assert [event[0] for event in d.events()] == ["down"]
    found = d.swim.record("a")
    assert found is not None
    assert found.reason == "killed"


def test_a_join_does_not_put_an_older_life_above_a_newer_one() -> None:
    """R3, even where the joiner itself tells of the newer one."""
    d = Driven()
    joiner, later = pack_item(record("a")), pack_item(record("a", generation=2))
    d.receive("a", "swim.join", 1, 1, "c", joiner, [later], "me:1")
    found = d.swim.record("a")
    assert found is not None
    assert found.generation == 2


def test_an_early_tick_does_nothing() -> None:
    d = Driven("a")
    d.wait(0.1)
    d.sent()
    wake = d.swim.next_wake
    d.swim.tick((d.now + wake) / 2)
    assert d.sent() == []
    assert d.swim.next_wake == wake


def test_a_node_alone_sends_nothing() -> None:
    swim = Swim(name="me", address="me:1", generation=1, cluster="c", rng=Random(1))
    swim.start(0.0)
    swim.candidates(0.0, ["me:1"])
    swim.update(0.0, labels=(("a", "b"),))
    for second in range(100):
        swim.tick(float(second))
        swim.check()
    assert swim.outbox == swim.events == []
    assert swim.view().names == ("me",)
    assert len(swim.news) == 0
