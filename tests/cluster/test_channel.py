"""Channels against an oracle: a session's items arrive once, in order, or the session ends."""

import random

import pytest

from foundation.cluster.channel import Channel


class Side:
    """One agent's end: makes a new channel when it forgets the other, or the other begins anew."""

    def __init__(self, name):
        self.name = name
        self.sessions = 0
        self.got = []  # ((session of the receiver, of the sender), item)
        self.sent = {}  # session -> items
        self.begin()

    def begin(self, theirs=0):
        self.sessions += 1
        self.channel = Channel(self.sessions, theirs)
        self.sent[self.sessions] = []

    def send(self, item):
        self.sent[self.channel.mine].append(item)
        self.channel.send(item)

    def receive(self, now, packet):
        if self.channel.begins_anew(packet):
            self.begin(0 if packet.theirs else packet.mine)
        for item in self.channel.receive(now, packet):
            self.got.append(((self.channel.mine, packet.mine), item))
        self.channel.check()


def run(seed, loss, sessions):
    rng = random.Random(seed)
    a, b = Side("a"), Side("b")
    under_way = []  # (arrival, number, receiver, packet)
    now, number = 0.0, 0
    for step in range(600):
        now += rng.uniform(0, 0.05)
        healed = step > 400
        for one, other in ((a, b), (b, a)):
            if not healed and rng.random() < 0.5:
                number += 1
                one.send(b"%d" % number)
            if not healed and rng.random() < sessions:
                one.begin()
            for packet in one.channel.poll(now):
                copies = 1 if healed else rng.choices((0, 1, 2), (loss, 1 - loss, 0.1))[0]
                for _ in range(copies):
                    delay = rng.choice((0.001, 0.01, 0.3))
                    under_way.append((now + delay, rng.random(), other, packet))
        due = sorted(u for u in under_way if u[0] <= now)
        under_way = [u for u in under_way if u[0] > now]
        for _, _, receiver, packet in due:
            receiver.receive(now, packet)
    return a, b


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_items_arrive_once_in_order_and_all_of_the_last_session(loss):
    for seed in range(150):
        a, b = run(seed, loss, sessions=0.01)
        for one, other in ((a, b), (b, a)):
            sessions = [session for session, _ in other.got]
            assert sessions == sorted(sessions), f"seed={seed}: C2"
            for session in dict.fromkeys(sessions):
                got = [item for s, item in other.got if s == session]
                assert got == one.sent[session[1]][: len(got)], f"seed={seed}: C1"
            assert one.channel.unacked == 0, f"seed={seed}: C3"
            # Who has said nothing since it began anew need not be known.
            assert one.channel.theirs in (0, other.channel.mine), f"seed={seed}"


def test_without_new_sessions_everything_arrives():
    for seed in range(100):
        a, b = run(seed, 0.3, sessions=0)
        assert [item for _, item in b.got] == a.sent[1], f"seed={seed}"
        assert [item for _, item in a.got] == b.sent[1], f"seed={seed}"


def test_a_long_queue_goes_in_packets_within_a_window():
    channel = Channel(1)
    for _ in range(3000):
        channel.send(b"x" * 10_000)
    packets = channel.poll(0.0)
    assert sum(len(p.items) for p in packets) * 10_000 <= 9 * 1024 * 1024
    assert all(sum(map(len, p.items)) <= 300_000 for p in packets)
    channel.check()


def test_an_acknowledgement_waits_for_an_item_to_travel_with():
    one, other = Channel(1), Channel(1)
    one.send(b"question")
    (packet,) = one.poll(0.0)
    assert other.receive(0.0, packet) == [b"question"]
    assert other.poll(0.001) == []
    other.send(b"answer")
    (packet,) = other.poll(0.002)
    assert packet.ack == 1
    assert one.receive(0.003, packet) == [b"answer"]
    assert one.unacked == 0
    assert one.poll(0.004) == []
    (alone,) = one.poll(0.1)
    assert (alone.items, alone.ack) == ([], 1)
