"""Links, monitors and calls between nodes never outlive the loss of a frame (R4)."""

import random

import pytest

from foundation.kernel.association import (
    ACCEPT,
    ANNOUNCE,
    FOLLOW,
    RESTART,
    Association,
)
from foundation.otp import (
    CallExit,
    Down,
    ExitMsg,
    GenServer,
    call,
    link,
    me,
    monitor,
    receive,
    send,
    trap_exit,
)
from foundation.testing.cluster_sim import ClusterSimulation, Faults


class End:
    """One side."""

    def __init__(self):
        self.numbers = 0
        self.fresh()

    def fresh(self):
        self.numbers += 1
        self.association = Association(
            self.numbers, self.association.over if self.numbers > 1 else 0
        )
        self.dirty = True
        self.log = []  # frames of the other side that were applied in this association
        self.said = []  # frames said in it

    def frame(self, payload):
        head = self.association.head()
        self.association.sent += 1
        self.said.append(payload)
        return (*head, payload)

    def take(self, frame):
        *head, payload = frame
        verdict = self.association.judge(*head)
        if verdict == FOLLOW:
            self.fresh()
            self.association.theirs = head[0]
            verdict = self.association.judge(*head)
        if verdict == RESTART:
            self.fresh()
        if verdict == ANNOUNCE:
            self.dirty = True
        if verdict == ACCEPT:
            self.log.append(payload)


def test_two_sides_agree_on_what_crossed_whatever_is_lost():
    for seed in range(2000):
        rng = random.Random(seed)
        one, other = End(), End()
        under_way = []
        for step in range(120):
            healed = step > 60
            for here, there in ((one, other), (other, one)):
                if not healed and rng.random() < 0.03:
                    here.fresh()  # its connection broke
                if here.dirty or rng.random() < 0.4:
                    here.dirty = False
                    frame = here.frame(("" if healed else "x") + str(step))
                    if healed or rng.random() > 0.1:
                        under_way.append((there, frame))
            if rng.random() < 0.1 and not healed:
                rng.shuffle(under_way)
            while under_way and (healed or rng.random() < 0.7):
                there, frame = under_way.pop(0)
                there.take(frame)
        for there, frame in under_way:
            there.take(frame)
        for here, there in ((one, other), (other, one)):
            assert here.association.theirs == there.association.mine, f"seed={seed}"
            tail = there.log[-20:]
            assert tail, f"seed={seed}"
            assert tail == here.said[-len(tail) :], f"seed={seed}"


class Echo(GenServer):
    def handle_call(self, request, caller):
        return request


@pytest.mark.parametrize("seed", range(15))
def test_every_call_ends_when_frames_are_lost(seed):
    faults = Faults(gap=0.02, loss=0.02, duplicate=0.02, reorder=0.02)
    with ClusterSimulation(seed, nodes=2, faults=faults) as cluster:
        cluster.form()

        async def serve():
            return await Echo.start(name="echo")

        cluster.run("a", serve)
        cluster.advance(0.5)
        outcomes = []

        async def client():
            for number in range(40):
                try:
                    outcomes.append(await call(("echo", "a"), number, timeout=None) == number)
                except CallExit as error:
                    outcomes.append(error.reason == "noconnection")

        clients = [cluster.spawn("b", client) for _ in range(5)]
        cluster.until(lambda: sum(c.ended for c in clients) == 5 or _nudge(cluster), 60)
        assert outcomes == [True] * 200


def _nudge(cluster):
    """A lost last frame shows when the next one comes."""
    for one, other in (("a", "b"), ("b", "a")):
        kernel = cluster.kernel(one)
        if f"{other}/w1" in kernel.remote.peers:
            kernel.remote.foreign.announce(f"{other}/w1")


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_settles_links_and_monitors_once_on_both_sides(seed):
    with ClusterSimulation(seed, nodes=2) as cluster:
        cluster.form()
        told = {"a": [], "b": []}

        async def partner(node):
            trap_exit()
            while True:
                message = await receive()
                if isinstance(message, tuple) and message[0] == "meet":
                    link(message[1])
                    monitor(message[1])
                else:
                    told[node].append(message)

        bodies = {node: cluster.spawn(node, partner, node) for node in ("a", "b")}

        async def introduce():
            send(bodies["a"].pid, ("meet", bodies["b"].pid))
            send(bodies["b"].pid, ("meet", bodies["a"].pid))

        cluster.run("a", introduce)
        cluster.advance(0.2)
        cluster.network.cut("a", "b")
        cluster.until(lambda: len(told["a"]) == 2 and len(told["b"]) == 2, 10)
        cluster.network.heal()
        cluster.until(cluster.agreed)
        cluster.advance(2)
        for node, other in (("a", "b"), ("b", "a")):
            kinds = sorted(type(m).__name__ for m in told[node])
            assert kinds == ["Down", "ExitMsg"], (seed, told[node])
            for message in told[node]:
                assert message.reason == "noconnection"
                about = message.pid if isinstance(message, ExitMsg) else message.object
                assert about == bodies[other].pid
                assert isinstance(message, (Down, ExitMsg))
        cluster.run("a", introduce)  # as if for the first time
        cluster.advance(0.5)
        assert bodies["a"].pid in cluster.kernel("b").procs[bodies["b"].pid].links


def test_one_side_that_forgets_the_other_makes_it_settle_too():
    """Only b drops a (a one-way cut): the links of a's processes end as well."""
    with ClusterSimulation(3, nodes=2) as cluster:
        cluster.form()
        seen = []

        async def sleeper():
            await receive(lambda m: m == "never")

        async def watcher(pid):
            monitor(pid)
            seen.append(await receive())

        there = cluster.spawn("b", sleeper)
        cluster.spawn("a", watcher, there.pid)
        cluster.advance(0.2)
        cluster.kernel("b").remote.host_down("a/w1", "noconnection")
        cluster.kernel("b").remote.foreign.up("a/w1", cluster.kernel("a").incarnation)
        cluster.advance(0.2)
        assert [m.reason for m in seen] == ["noconnection"]


def test_frames_of_a_host_that_is_not_known_yet_are_kept_for_it():
    with ClusterSimulation(4, nodes=2) as cluster:
        cluster.form()

        async def serve():
            return await Echo.start(name="echo")

        pid = cluster.run("a", serve)
        kernel = cluster.kernel("a")
        cluster.advance(0.1)
        kernel.remote.host_down("b/w1", "noconnection")
        kernel.remote.foreign._severed.clear()
        cluster.loop.call_later(
            0.5, kernel.remote.foreign.up, "b/w1", cluster.kernel("b").incarnation
        )

        async def ask():
            assert me().host == "b/w1"
            return await call(pid, "early")

        assert cluster.run("b", ask) == "early"
