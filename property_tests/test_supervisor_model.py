"""Supervisors against a model, in virtual time.

Laws:
    After any sequence of crashes and administrative calls, the children that run are those the
    model says, in its order, and exactly those that it restarted have new pids.
    A supervisor gives up exactly when more than N restarts fall into some T seconds.
    When the root has stopped, no process is left, whatever has crashed before.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from foundation.errors import ChildError, StartError
from foundation.kernel.ops import alive, cast, exit, receive, spawn, trap_exit
from foundation.kernel.values import Pid
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.gen_server import GenServer
from foundation.otp.restart_window import RestartWindow
from foundation.otp.results import Stop
from foundation.otp.supervision import STRATEGIES
from foundation.otp.supervisor import Supervisor
from foundation.testing import Simulation

EXAMPLES = int(os.environ.get("FOUNDATION_TEST_SEEDS", "60"))
RESTARTS = ("permanent", "transient", "temporary")
IDS = "abcdef"
SECONDS = 10.0


class Leaf(GenServer):
    """Ends as it is told."""

    def init(self, trap: bool = False) -> None:
        trap_exit(trap)

    def handle_cast(self, request: Any) -> Any:
        return Stop(request)


class Model:
    """What a supervisor should do, in the plainest words."""

    def __init__(self, strategy: str, limit: int) -> None:
        self.strategy, self.limit = strategy, limit
        self.restart: dict[str, str] = {}  # id -> restart type, in order
        self.up: dict[str, bool] = {}
        self.instants: list[float] = []
        self.given_up = False

    def end(self, id: str, clean: bool, now: float) -> set[str]:
        """The child *id* ended; return who was restarted."""
        kind = self.restart[id]
        self.up[id] = False
        if kind == "temporary":
            del self.restart[id], self.up[id]
        if kind == "temporary" or (kind == "transient" and clean):
            return set()
        self.instants.append(now)
        if len([t for t in self.instants if now - t <= SECONDS]) > self.limit:
            self.given_up = True
            return set()
        ids = list(self.restart)
        group = {"one_for_one": [id], "one_for_all": ids}.get(
            self.strategy, ids[ids.index(id) :]
        )
        for other in [x for x in group if self.restart[x] == "temporary"]:
            del self.restart[other], self.up[other]
        again = [x for x in group if x in self.restart]
        self.up.update(dict.fromkeys(again, True))
        return set(again)


class SupervisorMachine(RuleBasedStateMachine):
    """Plays with a supervisor and its model."""

    @initialize(
        seed=st.integers(0, 2**16),
        strategy=st.sampled_from(STRATEGIES),
        limit=st.integers(0, 4),
        kinds=st.lists(st.tuples(st.sampled_from(RESTARTS), st.booleans()), max_size=5),
    )
    def start(
        self, seed: int, strategy: str, limit: int, kinds: list[tuple[str, bool]]
    ) -> None:
        self.simulation = Simulation(seed, start_delay=(0.0, 0.001))
        self.model = Model(strategy, limit)
        children = []
        for id, (kind, trap) in zip(IDS, kinds, strict=False):
            self.model.restart[id], self.model.up[id] = kind, True
            children.append(Leaf.spec(trap, id=id, restart=kind))
        flags = {"strategy": strategy, "max_restarts": limit, "max_seconds": SECONDS}

        found: list[Pid] = []

        async def keep() -> None:  # holds the supervisor, as the bodies of rules come and go
            trap_exit()
            found.append(await Supervisor.start_link(children, **flags))
            await receive(lambda message: False)

        async def body() -> Pid:
            self.keeper = spawn(keep)
            while not found:
                await asyncio.sleep(0.001)
            return found[0]

        self.sup = self.simulation.run(body)
        self.before = self.look()

    def look(self) -> dict[str, Any]:
        """Return the pids of the children, in order; None for the supervisor's end."""

        async def body() -> Any:
            await asyncio.sleep(0.01)
            if not alive(self.sup):
                return None
            children = await Supervisor.which_children(self.sup)
            return {child.id: child.pid for child in reversed(children)}

        found: dict[str, Any] = self.simulation.run(body)
        return found

    def check(self, restarted: set[str]) -> None:
        """Compare the supervisor with the model."""
        after = self.look()
        if self.model.given_up:
            assert after is None
            return
        assert list(after) == list(self.model.restart)
        assert {id: pid is not None for id, pid in after.items()} == self.model.up
        for id, pid in after.items():
            if pid is not None:
                assert (pid != self.before.get(id)) == (id in restarted)
        self.before = after

    def ask(self, operation: Any, *args: Any) -> Any:
        """Run an administrative request; return the name of the error, or ``"ok"``."""

        async def body() -> str:
            try:
                await operation(self.sup, *args)
            except (ChildError, StartError) as error:
                return type(error).__name__
            return "ok"

        return self.simulation.run(body)

    def alive(self) -> bool:
        return not self.model.given_up

    def running(self) -> list[str]:
        return [id for id, up in self.model.up.items() if up]

    @precondition(lambda self: self.alive() and self.running())
    @rule(data=st.data(), reason=st.sampled_from(["normal", "shutdown", "bad", "kill"]))
    def end(self, data: Any, reason: str) -> None:
        id = data.draw(st.sampled_from(self.running()))
        pid = self.before[id]

        def body() -> None:
            if reason == "kill":
                exit(pid, "kill")
            else:
                cast(pid, reason)

        now = self.simulation.now
        self.simulation.run(body)
        clean = reason in ("normal", "shutdown")
        self.check(self.model.end(id, clean, now))

    @precondition(lambda self: self.alive())
    @rule(id=st.sampled_from(IDS), kind=st.sampled_from(RESTARTS), trap=st.booleans())
    def start_child(self, id: str, kind: str, trap: bool) -> None:
        spec = Leaf.spec(trap, id=id, restart=kind)
        answer = self.ask(Supervisor.start_child, spec)
        if id in self.model.restart:
            assert answer == ("AlreadyStarted" if self.model.up[id] else "AlreadyPresent")
            self.check(set())
        else:
            assert answer == "ok"
            self.model.restart[id], self.model.up[id] = kind, True
            self.check({id})

    @precondition(lambda self: self.alive())
    @rule(id=st.sampled_from(IDS))
    def terminate_child(self, id: str) -> None:
        answer = self.ask(Supervisor.terminate_child, id)
        assert answer == ("ok" if id in self.model.restart else "ChildNotFound")
        if answer == "ok":
            self.model.up[id] = False
            if self.model.restart[id] == "temporary":
                del self.model.restart[id], self.model.up[id]
        self.check(set())

    @precondition(lambda self: self.alive())
    @rule(id=st.sampled_from(IDS), delete=st.booleans())
    def delete_or_restart_child(self, id: str, delete: bool) -> None:
        operation = Supervisor.delete_child if delete else Supervisor.restart_child
        answer = self.ask(operation, id)
        if id not in self.model.restart:
            assert answer == "ChildNotFound"
        elif self.model.up[id]:
            assert answer == "ChildRunning"
        else:
            assert answer == "ok"
            if delete:
                del self.model.restart[id], self.model.up[id]
            self.model.up.update({} if delete else {id: True})
            return self.check(set() if delete else {id})
        return self.check(set())

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            self.simulation.kill(self.keeper)
            assert self.simulation.settle() == []
        finally:
            self.simulation.close()


SupervisorMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_supervisor_does_what_the_model_says = SupervisorMachine.TestCase


@given(
    limit=st.integers(0, 5),
    pauses=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 5.5]), max_size=40),
)
def test_exceeded_exactly_when_too_many_restarts_fall_in_the_period(
    limit: int, pauses: list[float]
) -> None:
    window = RestartWindow(limit, 5.0)
    history: list[float] = []
    now = 100.0
    for pause in pauses:
        now += pause
        history.append(now)
        window = window.record(now)
        in_period = [then for then in history if now - then <= 5.0]
        assert window.exceeded == (len(in_period) > limit)
        assert len(window._instants) <= limit + 1  # W2


@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 6.0])), max_size=30)
)
def test_an_event_counts_once_however_often_it_is_recorded(
    events: list[tuple[int, float]],
) -> None:
    window, seen, now = RestartWindow(2, 5.0), {}, 0.0
    for event, pause in events:
        now += pause
        window = window.record(now, ("host", event))
        seen.setdefault(event, now)
        last = max(seen.values())
        assert window.exceeded == (len([t for t in seen.values() if last - t <= 5.0]) > 2)


class Tree(Supervisor):
    """Static and dynamic supervisors, two floors deep."""

    max_restarts = 1000

    def init(self, width: int, strategy: str) -> Any:  # type: ignore[override]
        leaves = [Leaf.spec(n % 2 == 0, id=n, host="spread") for n in range(width)]
        flags = {"strategy": strategy, "max_restarts": 2}
        return [
            Supervisor.spec(leaves, id="static", **flags),
            DynamicSupervisor.spec(max_restarts=2, id="dynamic", name="dynamic"),
            Supervisor.spec(leaves, id="far", host="w1", **flags),
        ]


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.integers(1, 4),
    strategy=st.sampled_from(STRATEGIES),
    hosts=st.integers(1, 3),
)
def test_no_process_is_left_when_the_root_has_stopped(
    seed: int, width: int, strategy: str, hosts: int
) -> None:
    async def body() -> None:
        trap_exit()
        root = await Tree.start_link(width, strategy)
        simulation.crash_randomly(per_second=20, until=simulation.now + 2)
        for n in range(20):
            try:
                await DynamicSupervisor.start_child("dynamic", Leaf.spec(host="spread"))
            except Exception:
                await asyncio.sleep(0.05)
            if n == 10 and hosts == 3:
                simulation.crash_host("w2", notice=(0.0, 0.05))
        await asyncio.sleep(simulation.random.uniform(0, 3))
        try:
            await Supervisor.stop(root, "shutdown")
        except Exception:
            await asyncio.sleep(1)

    with Simulation(seed, hosts=max(hosts, 2), delay=(0.0, 0.01)) as simulation:
        simulation.run(body)
        assert simulation.settle() == []
