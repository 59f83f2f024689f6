"""The API of clusters as a user writes it; checked as ``api.py`` is."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any, assert_type

import foundation
from foundation.cluster import (
    ClusterConfig,
    Member,
    NodeDown,
    NodeUp,
    Timing,
    View,
    ViewChanged,
    await_cluster,
    node,
    nodes,
    subscribe,
    unsubscribe,
    view,
)
from foundation.cluster import pubsub as ps
from foundation.cluster import registry as reg
from foundation.cluster.discovery import Dns, Loopback, StaticList
from foundation.cluster.pubsub import Meta, PresenceDiff, Published, Tracker
from foundation.cluster.registry import DistributedRegistry, Entry, NameConflict
from foundation.cluster.supervisor import (
    ChildQuarantined,
    ChildState,
    DistributedSupervisor,
    Move,
    child,
    count_children,
    drain,
    explain,
    generation,
    plan,
    restart_child,
    start_child,
    terminate_child,
    undrain,
    whereis_child,
    which_children,
)
from foundation.otp import Call, Caller, ChildSpec, GenServer, Pid, call
from foundation.testing.chaos import Chaos
from foundation.testing.cluster_sim import ClusterSimulation


@dataclass(frozen=True)
class Add(Call[int]):
    """Add an item; the reply is how many there are."""

    item: str


class Cart(GenServer):
    """Hears of the cluster, of topics, of presence and of conflicts."""

    def init(self, name: str) -> None:
        self.items: list[str] = []
        self.generation = generation()
        assert_type(subscribe(), View)
        ps.subscribe("prices")

    def handle_call(self, request: Add, caller: Caller) -> int:
        self.items.append(request.item)
        return len(self.items)

    def handle_info(self, message: object) -> None:
        match message:
            case NodeUp(name, member):
                assert_type(name, str)
                assert_type(member, Member)
            case NodeDown(name, member, reason):
                self.items.append(f"{name} {member.label('zone')} {reason}")
            case ViewChanged(seen):
                assert_type(seen.names, tuple[str, ...])
            case ChildQuarantined():
                assert_type(message.retry_in, float)
            case Published(topic, _, publisher):
                assert_type((topic, publisher), tuple[str, Pid])
            case PresenceDiff():
                assert_type(message.joins, dict[Any, list[Meta]])
            case NameConflict():
                unsubscribe()

    def export_state(self) -> list[str]:
        return self.items

    def import_state(self, state: list[str]) -> None:
        self.items = state


class Carts(DistributedSupervisor):
    """Options as class attributes."""

    on_minority = "stop"
    max_restarts = 10


def application() -> list[ChildSpec]:
    return [
        DistributedRegistry.spec(name="names", keys="unique", on_conflict="message"),
        Carts.spec(
            name="carts",
            children=[
                Cart.spec("one", id="one"),
                child(Cart.spec("gpu"), id="gpu", labels={"gpu": "yes"}),
                child(Cart.spec("part"), id="part", partitions=4),
                child(Cart.spec("each"), id="each", every_node=True, max_restarts=3),
            ],
        ),
        ps.PubSub.spec(),
        Tracker.spec(),
    ]


async def members() -> None:
    assert_type(await await_cluster(3, timeout=10.0), View)
    assert_type(view().member("a"), Member | None)
    assert_type(nodes(), tuple[str, ...])
    assert_type(node(), str)


async def children() -> None:
    name = DistributedRegistry.via("names", "ann")
    await start_child("carts", Cart.spec("ann", name=name), id="ann", timeout=5.0)
    assert_type(await call(name, Add("tea")), int)
    assert_type(await call(("local", "b"), Add("tea"), timeout=1.0), int)
    assert_type(whereis_child("carts", "ann"), Pid | None)
    assert_type(which_children("carts"), list[ChildState])
    assert_type(count_children("carts"), dict[str, int])
    assert_type(await plan("carts", without=["b"]), list[Move])
    assert_type(await explain("carts", "ann"), str)
    for supervisor, id, why in await drain("b"):
        print(supervisor, id, why)
    await undrain("b")
    await restart_child("carts", "ann")
    await terminate_child("carts", "ann")


async def names() -> None:
    assert_type(await reg.register("names", ("cart", 7), {"owner": "ann"}), int)
    assert_type(reg.lookup("names", ("cart", 7)), list[Entry])
    assert_type(reg.whereis("names", ("cart", 7)), Pid | None)
    assert_type(reg.token("names", ("cart", 7)), int)
    await reg.update_value("names", ("cart", 7), lambda value: {**value, "open": True})
    await reg.unregister("names", ("cart", 7))


async def topics() -> None:
    await ps.subscribe(pattern="prices.*", tagged=True)
    assert_type(ps.broadcast("prices.tea", 3), int)
    ps.broadcast_from("prices.tea", 3)
    ps.local_broadcast("prices.tea", 3)
    ps.direct_broadcast("b", "prices.tea", 3)
    assert_type(ps.nodes_interested("prices.tea"), list[str])
    await Tracker.track("room", "ann", {"device": "phone"})
    assert_type(Tracker.list("room"), dict[Any, list[Meta]])
    assert_type(Tracker.get("room", "ann"), list[Meta])
    await Tracker.update("room", "ann", lambda meta: {**meta, "away": True})


def program() -> None:
    config = ClusterConfig(
        name="shop",
        port=7000,
        strategies=(Loopback(tempfile.gettempdir()), StaticList(["10.0.0.1:7000"])),
        labels={"zone": "a"},
        expected_size=3,
        timing=Timing(lease=1.0, takeover=2.0),
    )
    with foundation.start(application(), name="a", cluster=config) as started:
        started.run(await_cluster, 3)
        assert_type(started.run(explain, "carts", "ann"), str)
    with foundation.start(application(), cluster=True):
        pass


def simulated() -> None:
    with ClusterSimulation(seed=1, nodes=["a", "b"], app=application()) as cluster:
        assert_type(cluster.form(), float)
        cluster.run("a", members)
        chaos = Chaos(cluster, keep=1, actions=("crash", "restart", "cut", "heal"))
        chaos.run(30.0, lambda: None)
        assert_type(chaos.heal(), float)


def wrong_types_are_found() -> None:
    """Each of these lines is an error, so an unneeded ``ignore`` fails the check."""
    ClusterConfig(port="7000")  # type: ignore[arg-type]
    Carts.spec(children=[])  # type: ignore[call-arg]
    ps.broadcast(7, "message")  # type: ignore[arg-type]
    Add(7)  # type: ignore[arg-type]
    Dns()  # type: ignore[call-arg]
    generation("ann")  # type: ignore[call-arg]
