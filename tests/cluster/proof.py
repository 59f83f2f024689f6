"""A simulated cluster at work, and what must hold of it at any time and after healing.

Each world has a distributed registry, a distributed supervisor and topics on three to five nodes,
and clients that use them all the time. What the clients were told is written into an oracle, with
which the replicas are compared: replicas that agree with each other may all be wrong.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from foundation.cluster import ClusterConfig
from foundation.cluster import pubsub as ps
from foundation.cluster.registry import DistributedRegistry, NameConflict, lookup, register
from foundation.cluster.supervisor import (
    DistributedSupervisor,
    child,
    move_child,
    start_child,
    terminate_child,
    which_children,
)
from foundation.errors import AlreadyRegistered, FoundationError
from foundation.otp import GenServer, me, receive, send, send_after, trap_exit
from foundation.testing.chaos import Chaos
from foundation.testing.cluster_sim import ClusterSimulation

KEYS = 6
FAULTS = ("crash", "restart", "pause", "cut", "partial", "one_way", "heal", "host", "network")


class Job(GenServer):
    """A child of the distributed supervisor; *what* it is, is found in ``process.server``."""

    def init(self, what: str, partition: int | None = None) -> None:
        self.what = what if partition is None else f"{what}/{partition}"

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.what


def app() -> list[Any]:
    children = [
        *(child(Job.spec(f"stop{i}"), id=f"stop{i}", on_minority="stop") for i in range(4)),
        *(child(Job.spec(f"keep{i}"), id=f"keep{i}") for i in range(4)),
        child(Job.spec("part"), id="part", partitions=3),
        child(Job.spec("each"), id="each", every_node=True),
    ]
    return [
        DistributedRegistry.spec(name="names", keys="unique", on_conflict="message"),
        DistributedSupervisor.spec(name="jobs", children=children),
    ]


class World:
    """One cluster, its clients and its oracle.

    Args:
        seed: of everything.
    """

    def __init__(self, seed: int) -> None:
        size = 3 + seed % 3
        self.seed = seed
        self.cluster = ClusterSimulation(
            seed,
            nodes=size,
            workers=1 + seed % 2,
            app=app(),
            config=ClusterConfig(strategies=(), expected_size=size),
        )
        self.chaos = Chaos(self.cluster, keep=size // 2 + 1, actions=FAULTS)
        self.holders: dict[Any, tuple[int, int]] = {}  # pid -> (key, token) that it was given
        self.heard: dict[tuple[Any, Any], list[int]] = {}  # (subscriber, publisher) -> numbers
        self.wanted: dict[str, bool] = {}  # dynamic children: acknowledged as wanted, or not
        self.since: dict[str, float] = {}  # and since when
        self.crashes: list[tuple[float, str]] = []
        crash = self.cluster.crash

        def crash_and_note(name: str, *, refused: bool = True) -> None:
            self.crashes.append((self.cluster.now, name))
            crash(name, refused=refused)

        self.cluster.crash = crash_and_note  # type: ignore[method-assign]
        self.clients: list[Any] = []
        self.rounds = 0

    # Clients

    def start_clients(self) -> None:
        """Start some of each kind, on every node; they end by themselves."""
        for node in self.cluster.live():
            for kind in (
                self.claimer, self.claimer, self.subscriber, self.publisher, self.mover
            ):  # fmt: skip
                self.clients.append(self.cluster.spawn(node.name, kind))
            self.clients.append(self.cluster.spawn(node.name, self.starter))

    async def claimer(self) -> None:
        """Claim a name, hold it for a while, end: by itself, or told of a conflict."""
        trap_exit()
        key = self.cluster.random.randrange(KEYS)
        try:
            token = await register("names", key, timeout=10)
        except (AlreadyRegistered, FoundationError, TimeoutError):
            return
        self.holders[me()] = (key, token)
        try:
            await receive(lambda m: isinstance(m, NameConflict), timeout=10)
        except TimeoutError:
            return
        finally:
            self.holders.pop(me(), None)

    async def subscriber(self) -> None:
        """Note what each publisher's numbers are."""
        try:
            await ps.subscribe("news")
        except FoundationError:
            return
        send_after(12.0, me(), ("over", 0))
        while True:
            publisher, number = await receive(lambda m: isinstance(m, tuple))
            if publisher == "over":
                return
            self.heard.setdefault((me(), publisher), []).append(number)

    async def publisher(self) -> None:
        """Publish numbers, upwards."""
        for number in range(1, 60):
            ps.broadcast("news", (me(), number))
            try:
                await receive(lambda m: False, timeout=0.1 + self.cluster.random.random() / 10)
            except TimeoutError:
                continue

    async def starter(self) -> None:
        """Have a child started, and sometimes terminated again."""
        name = f"dyn{self.cluster.random.randrange(10**9)}"
        try:
            await start_child("jobs", Job.spec(name), id=name, timeout=10)
        except (FoundationError, TimeoutError):
            return  # it may run all the same
        self.since[name], self.wanted[name] = self.cluster.now, True
        if self.cluster.random.random() < 0.5:
            del self.wanted[name]  # from now on nobody knows, until the answer
            try:
                await terminate_child("jobs", name, timeout=10)
            except (FoundationError, TimeoutError):
                return
            self.wanted[name] = False

    async def mover(self) -> None:
        """Have a declared child moved to and fro, without waiting for each move to end."""
        draw = self.cluster.random
        id = f"{draw.choice(('stop', 'keep'))}{draw.randrange(4)}"
        for _ in range(4):
            with contextlib.suppress(FoundationError, TimeoutError):
                to = draw.choice([*self.cluster.nodes, None])
                await move_child("jobs", id, to, timeout=draw.choice((0.01, 0.1, 3.0)))

    # What holds at any time

    def check(self) -> None:
        """Check what must hold now."""
        self.rounds += 1
        for name, where in self.running().items():
            if name.startswith("stop"):
                assert len(where) <= 1, f"{name} runs twice: {where}"
        self.one_owner_in_a_majority()
        for (subscriber, publisher), numbers in self.heard.items():
            assert numbers == sorted(set(numbers)), (subscriber, publisher, numbers)

    def running(self) -> dict[str, list[str]]:
        """Return on which nodes each job runs; a paused node runs nothing."""
        found: dict[str, list[str]] = {}
        for node in self.cluster.live():
            if node.paused:
                continue
            for process in self.cluster.processes(node.name):
                server = getattr(process, "server", None)
                if isinstance(server, Job) and process.state == "running":
                    what = getattr(server, "what", "?")
                    name = f"{what}@{node.name}" if what == "each" else what
                    found.setdefault(name, []).append(node.name)
        return found

    def one_owner_in_a_majority(self) -> None:
        """Among nodes that agree with each other and are a majority, a name has one owner."""
        views = Counter(n.agent.view.names for n in self.cluster.live() if n.agent.settled)
        for names, count in views.items():
            if count != len(names) or 2 * count <= len(self.cluster.nodes):
                continue
            owners = Counter(
                key
                for pid, (key, _) in self.holders.items()
                if pid.host.partition("/")[0] in names and self.alive(pid)
            )
            if self.settled_for(names, 0.5):
                assert all(n == 1 for n in owners.values()), (owners, self.holders)

    def settled_for(self, names: tuple[str, ...], seconds: float) -> bool:
        """Whether nothing has been cut, paused or lost within *names* for a while."""
        now = self.cluster.now
        if any(self.cluster.nodes[n].paused for n in names):
            self._quiet_since = now
        state = (names, len(self.chaos.story))
        if state != getattr(self, "_state", None):
            self._state, self._quiet_since = state, now
        return now - self._quiet_since >= seconds

    def alive(self, pid: Any) -> bool:
        """Whether the process lives, to whoever could look into its host."""
        node, _, host = pid.host.partition("/")
        there = self.cluster.nodes[node]
        return there.up and host in there.hosts and pid in there.hosts[host].kernel.procs

    # What holds after healing

    def settle(self) -> None:
        """Mend everything; let the clients end and the reconcilers finish; check."""
        cluster = self.cluster
        self.chaos.heal()
        for body in self.clients:
            alive = body.pid is not None and self.alive(body.pid)
            if alive:
                cluster.until(lambda b=body: b.ended or not self.alive(b.pid), 40)  # type: ignore[misc]
        try:
            cluster.until(self.exactly_once, 60)
        except AssertionError:
            raise AssertionError(self.differences()) from None
        cluster.advance(3)
        assert self.exactly_once(), self.differences()
        assert cluster.agreed()
        self.names_are_found()
        self.nothing_leaks()

    def exactly_once(self) -> bool:
        """Whether every desired child runs exactly once."""
        return not self.differences()

    def differences(self) -> list[str]:
        """Say what runs that should not, or not as it should."""
        running = self.running()
        nodes = [n.name for n in self.cluster.live()]
        wanted = [f"stop{i}" for i in range(4)] + [f"keep{i}" for i in range(4)]
        wanted += [f"part/{i}" for i in range(3)] + [f"each@{n}" for n in nodes]
        wanted += [name for name, alive in self.wanted.items() if alive and self.kept(name)]
        wrong = [f"{n}: {running.get(n)}" for n in wanted if len(running.get(n, [])) != 1]
        wrong += [f"{n}: {at}" for n, at in running.items() if len(at) > 1 and n not in wanted]
        wrong += [f"{n}: unwanted" for n, on in self.wanted.items() if not on and n in running]
        return wrong

    def kept(self, name: str) -> bool:
        """Whether *name* cannot have been lost: records live in the memory of a majority."""
        size = len(self.cluster.nodes)
        since = self.since[name] - 10  # when it was asked for
        return len({node for at, node in self.crashes if at >= since}) <= size - size // 2 - 1

    def names_are_found(self) -> None:
        """Each acknowledged registration with a living owner is found everywhere; no other is."""
        cluster = self.cluster

        async def claim(key: int, found: list[Any]) -> None:
            try:
                found.append((key, me(), await register("names", key, timeout=10)))
            except AlreadyRegistered as error:
                found.append((key, error.pid, None))
            await receive(lambda m: m == "end")

        found: list[Any] = []
        names = [node.name for node in cluster.live()]
        bodies = [cluster.spawn(n, claim, key, found) for key in range(KEYS) for n in names]
        cluster.until(lambda: len(found) == len(bodies), 20)
        winners = {key: pid for key, pid, token in found if token is not None}
        assert all(winners.get(key, pid) == pid for key, pid, _ in found), found
        for pid, (key, _) in self.holders.items():
            assert not self.alive(pid) or winners.get(key, pid) == pid
        cluster.advance(1)

        async def look() -> dict[int, list[Any]]:
            return {key: [e.pid for e in lookup("names", key)] for key in range(KEYS)}

        tables = [cluster.run(n, look) for n in names]
        assert all(t == tables[0] for t in tables), tables
        assert all(tables[0][key] == [pid] for key, pid in winners.items()), (tables, winners)

        async def end() -> None:
            for body in bodies:
                send(body.pid, "end")

        # Twice: the first message after frames were lost in a cut is how that is found out.
        cluster.run(names[0], end)
        cluster.advance(0.5)
        cluster.run(names[0], end)
        cluster.until(lambda: all(b.ended for b in bodies), 10)
        cluster.advance(1)
        assert not any(pids for t in [cluster.run(n, look) for n in names] for pids in t.values())

    def nothing_leaks(self) -> None:
        """Nobody waits for an answer any more, and nothing is remembered of what has gone."""
        states = {}
        for node in self.cluster.live():
            agent = node.agent
            # Leases are asked for all the time, but answered at once.
            self.cluster.until(lambda a=agent: not len(a.questions), 2, step=0.003)  # type: ignore[misc]
            assert not agent.barriers._open, agent.barriers._open
            for peer in agent.peers.values():
                peer.channel.check()
                assert peer.channel.unacked < 10
            for host in node.hosts.values():
                assert not host.kernel.tables["cluster"]._asked, host.address
            states[node.name] = [
                (s.id, s.node, s.pid, s.generation) for s in self.cluster.run(node.name, _states)
            ]
        first = next(iter(states.values()))
        assert all(sorted(s, key=repr) == sorted(first, key=repr) for s in states.values())


async def _states() -> list[Any]:
    return which_children("jobs")


def prove(seed: int, seconds: float = 25.0) -> int:
    """Run one world through faults and healing; return how often it was checked."""
    world = World(seed)
    with world.cluster as cluster:
        try:
            cluster.form()
            cluster.until(world.exactly_once, 20)
            for _ in range(3):
                world.start_clients()
                world.chaos.run(seconds / 3, world.check)
            world.settle()
        except BaseException as error:
            error.add_note("\n".join([f"prove(seed={seed})", *world.chaos.story]))
            raise
        return world.rounds


__all__ = ["World", "prove"]
