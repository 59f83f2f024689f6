"""A server of one's own in a cluster of three, against a model: copy this file for yours.

The server is a shopping cart. Carts are children of a distributed supervisor, so each runs once in
the cluster, and are found by a name in a distributed registry. Hypothesis opens, fills, crashes
and closes carts from all nodes while it kills hosts and nodes, pauses them and cuts the network;
when something does not hold, it looks for the shortest way to that, and prints it:

    state = CartMachine()
    state.form(seed=0)
    state.open_cart(node='a')
    state.kill_node(node='b')
    ...

All of it happens in this program in virtual time, decided by the seed and the rules: the printed
steps, put into a test, do the same again. ``FOUNDATION_TEST_SEEDS=1000 pytest …`` tries for longer.

To test a server of your own, replace what is marked with REPLACE: the server, the requests that
clients make, and what must hold of it. The faults stay as they are.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
)

from foundation.cluster import ClusterConfig
from foundation.cluster.registry import DistributedRegistry, whereis
from foundation.cluster.supervisor import (
    DistributedSupervisor,
    UnknownSupervisor,
    generation,
    start_child,
    terminate_child,
    which_children,
)
from foundation.errors import FoundationError
from foundation.otp import Caller, ChildSpec, GenServer, call, cast
from foundation.testing.bodies import Body
from foundation.testing.cluster_sim import ClusterSimulation

EXAMPLES = int(os.environ.get("FOUNDATION_TEST_SEEDS", "80"))
NODES = ["a", "b", "c"]
node_names = st.sampled_from(NODES)
seconds = st.sampled_from([0.01, 0.1, 0.5, 2.0, 6.0])
pauses = st.sampled_from([0.0, 0.01, 0.1, 1.0])  # between a client's start and what happens next


# REPLACE: the server, and what it keeps its state in.


class Database:
    """Stands for yours, outside the cluster. It outlives all nodes.

    It takes nothing from a *generation* older than it has seen: a copy of a cart that was paused,
    and replaced meanwhile, might otherwise overwrite what its successor has written.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, list[str]]] = {}

    def read(self, cart: str, generation: int) -> list[str]:
        seen, items = self.rows.get(cart, (0, []))
        if generation <= seen:
            raise ValueError(f"{cart}: a second start with generation {generation}, after {seen}")
        self.write(cart, generation, items)  # from now on, older ones are refused
        return items

    def write(self, cart: str, generation: int, items: list[str]) -> None:
        seen = self.rows.get(cart, (0, []))[0]
        if generation < seen:
            raise ValueError(f"{cart}: generation {generation}, and {seen} was here before")
        self.rows[cart] = (generation, items)


database = Database()


class Cart(GenServer):
    """Answers when what it was told is in the database."""

    def init(self, name: str) -> None:
        self.name = name
        self.items = database.read(name, generation())

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case ("add", item):
                self.items = [*self.items, item]
                database.write(self.name, generation(), self.items)
                return "added"
            case "items":
                return self.items
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        raise RuntimeError(f"{self.name} was told to crash")


def application() -> list[ChildSpec]:
    """What runs on each node. ``on_minority="stop"``: there are never two of one cart."""
    return [
        DistributedRegistry.spec(name="names"),
        DistributedSupervisor.spec(name="carts", on_minority="stop", max_restarts=1000),
    ]


def name_of(cart: str) -> Any:
    return DistributedRegistry.via("names", cart)


class CartMachine(RuleBasedStateMachine):
    """Uses and hurts a cluster, and knows what it was told.

    Clients are processes of their own: a rule starts one and does not wait for it, so that
    whatever the next rules do happens to it, too. What it is told it writes into the model.
    """

    carts = Bundle("carts")

    @initialize(target=carts, seed=st.integers(0, 2**16))
    def form(self, seed: int) -> Any:
        database.rows.clear()
        self.clients: list[Body] = []
        self.numbers = self.killed_hosts = 0
        # The model: what clients were told. What they were not told may have happened or not.
        self.open: dict[str, bool] = {}  # True: is open; False: is closed; not here: who knows
        self.closing: set[str] = set()
        self.added: dict[str, list[str]] = {}  # cart -> items
        self.cluster = ClusterSimulation(
            seed,
            nodes=NODES,
            app=application(),
            config=ClusterConfig(strategies=(), expected_size=len(NODES)),
        )
        self.cluster.form()
        self.cluster.advance(1)  # the applications start
        return multiple(*(self.open_one(node, 1.0) for node in NODES))

    # REPLACE: what clients do. Each part of it ends in time, with an answer or an error.

    @rule(target=carts, node=node_names, wait=pauses)
    def open_cart(self, node: str, wait: float) -> str:
        return self.open_one(node, wait)

    def open_one(self, node: str, wait: float) -> str:
        cart = f"cart{self.number()}"

        async def client() -> None:
            try:
                await start_child("carts", Cart.spec(cart, name=name_of(cart)), id=cart)
            except (FoundationError, TimeoutError):
                return  # it may be open all the same
            if cart not in self.closing:
                self.open[cart] = True

        self.start(node, client, wait)
        return cart

    @rule(cart=carts, node=node_names, wait=pauses)
    def add(self, cart: str, node: str, wait: float) -> None:
        item = f"item{self.number()}"

        async def client() -> None:
            try:
                await call(name_of(cart), ("add", item), timeout=2)
            except FoundationError:
                return
            self.added.setdefault(cart, []).append(item)

        self.start(node, client, wait)

    @rule(cart=carts, node=node_names, wait=pauses)
    def crash(self, cart: str, node: str, wait: float) -> None:
        async def client() -> None:
            cast(name_of(cart), "crash")

        self.start(node, client, wait)

    @rule(cart=consumes(carts), node=node_names, wait=pauses)
    def close_cart(self, cart: str, node: str, wait: float) -> None:
        async def client() -> None:
            try:
                await terminate_child("carts", cart)
            except (FoundationError, TimeoutError):
                return  # it may be closed all the same
            if was_open:
                self.open[cart] = False

        was_open = self.open.pop(cart, False)
        self.closing.add(cart)
        self.start(node, client, wait)

    # Faults: these you can leave as they are.

    @precondition(lambda self: self.killed_hosts < 4)
    @rule(node=node_names)
    def kill_worker_host(self, node: str) -> None:
        """A child whose host dies more than four times in a minute is quarantined."""
        self.killed_hosts += 1
        if self.cluster.nodes[node].up:
            self.cluster.nodes[node].crash_host("w1")

    @precondition(lambda self: self.cluster.agreed() and len(self.cluster.live()) == len(NODES))
    @rule(node=node_names, refused=st.booleans())
    def kill_node(self, node: str, refused: bool) -> None:
        """Kill its processes; or its machine, when nobody is left to refuse connections.

        What was answered survives the death of one node, so the next dies when all is well.
        """
        self.cluster.crash(node, refused=refused)

    @rule(node=node_names)
    def start_node(self, node: str) -> None:
        self.cluster.start(node)

    @rule(node=node_names, seconds=seconds)
    def pause_node(self, node: str, seconds: float) -> None:
        self.cluster.pause(node, seconds)

    @rule(one=node_names, other=node_names, one_way=st.booleans())
    def cut(self, one: str, other: str, one_way: bool) -> None:
        if one == other:
            self.cluster.isolate([one])
        else:
            self.cluster.network.cut(one, other, one_way=one_way)

    @rule()
    def heal_network(self) -> None:
        self.cluster.network.heal()

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        self.let_time_pass(seconds)

    def let_time_pass(self, seconds: float) -> None:
        end = self.cluster.now + seconds
        while self.cluster.now < end:
            self.cluster.advance(0.01)
            self.never_two_of_one_cart()
            self.nothing_that_was_answered_is_lost()

    # REPLACE: what holds at any time, and what holds once all is whole.

    def never_two_of_one_cart(self) -> None:
        names = [cart for cart, _ in self.running()]
        assert len(names) == len(set(names)), self.running()

    def nothing_that_was_answered_is_lost(self) -> None:
        for cart, items in self.added.items():
            assert set(items) <= set(database.rows[cart][1]), cart

    @rule()
    def mend_everything(self) -> None:
        cluster = self.cluster
        cluster.network.heal()
        for node in cluster.nodes.values():
            if node.paused:
                node.resume()
            cluster.start(node.name)
        cluster.until(cluster.agreed, 60)
        cluster.until(self.clients_are_done, 15)  # nobody hangs
        end = cluster.now + 30
        while wrong := [text for node in NODES for text in cluster.run(node, self.wrong)]:
            assert cluster.now < end, (wrong, cluster.where())
            self.let_time_pass(0.2)

    async def wrong(self) -> list[str]:
        """Say what is not as the model has it; runs on each node, as a process."""
        found = []
        try:
            states = {state.id: state for state in which_children("carts")}
        except UnknownSupervisor:
            return ["a host that has just been started has heard nothing yet"]
        for cart, is_open in self.open.items():
            try:
                state, holder = states.get(cart), whereis("names", cart)
                if not is_open and (state or holder):
                    found.append(f"{cart} is closed, but there is {state}, {holder}")
                if is_open and (state is None or state.pid != holder):
                    found.append(f"{cart} is open, but there is {state}, {holder}")
                if is_open:
                    items = await call(name_of(cart), "items", timeout=2)
                    if not set(self.added.get(cart, [])) <= set(items):
                        found.append(f"{cart} has {items}, and should have {self.added[cart]}")
            except FoundationError as error:
                found.append(f"{cart}: {error}")
        return found

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            try:
                self.mend_everything()
            finally:
                self.cluster.close()

    # What the rules use

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def start(self, node: str, client: Any, wait: float) -> None:
        """Start a client on *node*, if it is up, and give it some time."""
        if self.cluster.nodes[node].up and self.cluster.nodes[node].hosts["w1"].up:
            self.clients.append(self.cluster.spawn(node, client))
        self.let_time_pass(wait)

    def running(self) -> list[tuple[str, str]]:
        """Return which carts run on which nodes; a paused node runs nothing."""
        return [
            (server.name, node.name)
            for node in self.cluster.live()
            if not node.paused
            for process in self.cluster.processes(node.name)
            if isinstance(server := getattr(process, "server", None), Cart)
            if process.state == "running"
        ]

    def clients_are_done(self) -> bool:
        """Whether each has ended, by itself or with its host."""
        alive = {p.pid for node in NODES for p in self.cluster.processes(node)}
        return all(client.ended or client.pid not in alive for client in self.clients)


CartMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestCarts = CartMachine.TestCase
