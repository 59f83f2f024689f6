"""Wrong arguments of what processes ask of the cluster are refused where they are given."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from foundation.cli.app import run_app
from foundation.cluster import await_cluster, chaos, node, pubsub, subscribe, unsubscribe
from foundation.cluster import registry as reg
from foundation.cluster.discovery import Dns
from foundation.cluster.registry.keys import MAX_VALUE
from foundation.errors import NoConnection, StartError, Unsendable
from foundation.kernel.ops import current, me
from foundation.otp import GenServer
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.pubsub.actors import Listener
from tests.cluster.registry.regsim import declare

LARGE = b"x" * MAX_VALUE


@pytest.fixture
def cluster() -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=1, nodes=2) as made:
        made.form()
        yield made


def test_subscribing_again_and_again_installs_one_hook(cluster: ClusterSimulation) -> None:
    async def body() -> tuple[int, int]:
        for _ in range(100):
            subscribe()
            unsubscribe()
        subscribe()
        subscribe()
        process = current()
        told = process.kernel.tables["cluster"]._subscribers
        return len(process.get_extra("exit_hooks")), list(told).count(process.pid)

    hooks, entries = cluster.run("a", body)
    assert (hooks, entries) == (2, 1)  # one is of the simulation
    assert not cluster.kernel("a", "w1").tables["cluster"]._subscribers


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("2",), TypeError, "n must be an int, got '2'"),
        ((True,), TypeError, "n must be an int, got True"),
        ((2.0,), TypeError, "n must be an int, got 2.0"),
        ((0,), ValueError, "n must be 1 or more, got 0"),
        ((2, None), TypeError, "timeout must be seconds, a number, got None"),
        ((2, True), TypeError, "got True"),
        ((2, 0), ValueError, "timeout must be finite and above 0, got 0"),
        ((2, -1.0), ValueError, "got -1.0"),
        ((2, math.nan), ValueError, "got nan"),
        ((2, math.inf), ValueError, "got inf"),
    ],
)
def test_await_cluster(
    cluster: ClusterSimulation, arguments: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        cluster.run("a", await_cluster, *arguments)


def test_node_takes_a_pid(cluster: ClusterSimulation) -> None:
    async def body() -> Any:
        for wrong in ("b", 5, ("a/w1", 1, 2)):
            with pytest.raises(TypeError, match=r"node\(\) takes a pid or nothing"):
                node(wrong)  # type: ignore[arg-type]
        return node(), node(me())

    assert cluster.run("a", body) == ("a", "a")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((["b"],), 'write cut_off("b"), got [\'b\']'),
        ((("b", "c"),), 'write cut_off("b", "c")'),
        ((5,), "takes names of nodes"),
        (("b", None), "got None"),
    ],
)
def test_cut_off_takes_names(cluster: ClusterSimulation, names: Any, text: str) -> None:
    with pytest.raises(TypeError, match=re.escape(text)):
        cluster.run("a", chaos.cut_off, *names)


def test_what_cannot_be_sent_is_refused_also_when_nobody_subscribes(
    cluster: ClusterSimulation,
) -> None:
    async def body() -> None:
        lock = [threading.Lock()]
        for send in (pubsub.broadcast, pubsub.broadcast_from, pubsub.local_broadcast):
            with pytest.raises(Unsendable):
                send("nobody", lock)
        for where in "ab":
            with pytest.raises(Unsendable):
                pubsub.direct_broadcast(where, "nobody", lock)
        with pytest.raises(Unsendable):
            pubsub.direct_broadcast("a", "b only", lock)
        assert pubsub.broadcast("nobody", [1]) == 0

    listener = Listener(cluster, "b", "w1", "b only")
    cluster.until(lambda: listener.subscribed)
    cluster.run("a", body)


def test_a_node_that_is_not_there_was_certainly_sent_nothing(cluster: ClusterSimulation) -> None:
    async def body() -> NoConnection:
        with pytest.raises(NoConnection) as caught:
            pubsub.direct_broadcast("zz", "t", 1)
        return caught.value

    error = cluster.run("a", body)
    assert error.definite
    assert "was not sent" in str(error)
    assert "may have been" not in str(error)


@pytest.mark.parametrize(
    ("wrong", "error"), [(5, TypeError), (None, TypeError), ("", ValueError)]
)
def test_names_of_topics_and_trackers(
    cluster: ClusterSimulation, wrong: Any, error: type[Exception]
) -> None:
    async def body() -> None:
        for use in (
            lambda: pubsub.subscribe("t", name=wrong),
            lambda: pubsub.subscribers("t", name=wrong),
            lambda: pubsub.topics(name=wrong),
            lambda: pubsub.PubSub.spec(wrong),
            lambda: pubsub.Tracker.track("t", "k", name=wrong),
            lambda: pubsub.Tracker.list("t", name=wrong),
            lambda: pubsub.Tracker.spec(wrong),
        ):
            with pytest.raises(error, match="name"):
                use()

    cluster.run("a", body)


@pytest.mark.parametrize("registry", [5, "", None, b"names"])
def test_via_takes_the_name_of_a_registry(registry: Any) -> None:
    with pytest.raises(TypeError, match=r"via\(\) takes the name of a registry"):
        reg.via(registry, 1)


class Holder(GenServer):
    pass


def test_values_that_would_block_the_channel_are_refused(cluster: ClusterSimulation) -> None:
    async def body() -> Any:
        with pytest.raises(Unsendable, match="keep the data in the process"):
            await reg.register("names", "k", LARGE)
        assert reg.whereis("names", "k") is None
        await reg.register("names", "k", 1)
        for new in (LARGE, lambda old: LARGE):
            with pytest.raises(Unsendable):
                await reg.update_value("names", "k", new)
        with pytest.raises((Unsendable, StartError), match="longer than the"):
            await Holder.start(name=reg.via("names", "v", LARGE))
        await reg.update_value("names", "k", LARGE[:-1000])
        return len(reg.lookup("names", "k")[0].value), reg.whereis("names", "v")

    declare(cluster)
    assert cluster.run("a", body) == (MAX_VALUE - 1000, None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nameservers": 5}, "Dns.nameservers must be a list such as ['10.0.0.1'], got 5"),
        ({"nameservers": None}, "Dns.nameservers must be a list"),
        ({"nameservers": "10.0.0.1"}, "Dns.nameservers must be a list"),
        ({"nameservers": [5]}, "Dns.nameservers: 5 is not a string"),
        ({"resolver": 5}, "Dns.resolver must be None or a function, got 5"),
    ],
)
def test_dns(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Dns("web", 5000, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--expected-size", "0"], "need --cluster NAME"),
        (["--cluster", "shop", "--expected-size", "0"], "expected_size must be None or"),
        (["--cluster", ""], "name must be a non-empty string"),
        (["--cluster", "shop", "--bind", "::1"], "only IPv4"),
        (["--cluster", "shop", "--cluster-port", "70000"], "port must be"),
        (["--cluster", "shop", "--join", "nowhere"], "StaticList.addresses"),
    ],
)
def test_a_wrong_cluster_on_the_command_line_ends_with_2(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["run", "foundation.otp:GenServer", *options]) == 2
    assert text in capsys.readouterr().err
