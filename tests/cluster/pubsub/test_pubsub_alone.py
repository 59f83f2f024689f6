"""Topics without a cluster, wrong arguments, and the pure tables."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import Any

import pytest

import foundation
from foundation.cluster.pubsub import (
    PresenceDiff,
    Published,
    PubSub,
    Tracker,
    broadcast,
    broadcast_from,
    direct_broadcast,
    local_broadcast,
    nodes_interested,
    subscribe,
    subscribers,
    unsubscribe,
)
from foundation.cluster.pubsub.exchange import MAX_ROUTES
from foundation.cluster.pubsub.host import pubsub_of
from foundation.cluster.pubsub.presence import PresenceView
from foundation.cluster.pubsub.topics import PATTERN, TOPIC, Interests
from foundation.errors import NoConnection, NotInCluster, NotInProcess
from foundation.kernel.codec import dumps, loads
from foundation.kernel.values import Pid
from foundation.otp import Supervisor, me, receive
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.pubsub.actors import ask


async def everything() -> list[Any]:
    await subscribe("t")
    await subscribe(pattern="u*", tagged=True)
    here = Tracker.subscribe("room")
    await Tracker.track("room", "ann", 1)
    assert here == {}
    assert Tracker.count("room") == 1
    assert (await receive()).joins["ann"][0].value == 1
    counts = [broadcast("t", 1), broadcast_from("t", 2), local_broadcast("u", 3)]
    with pytest.raises(NoConnection):
        direct_broadcast("other", "t", 4)
    counts.append(direct_broadcast(me().host.partition("/")[0], "t", 5))
    assert len(nodes_interested("t")) == 1
    return [counts, [await receive(timeout=1) for _ in range(3)], me()]


def test_a_program_of_one_host_needs_no_cluster() -> None:
    async def gone() -> Any:
        return subscribers("t"), Tracker.list("room")

    with foundation.start(hosts=0) as node:
        counts, got, pid = node.run(everything)
        assert counts == [1, 0, 1, 1]
        assert got == [1, Published("u", 3, pid), 5]
        assert node.run(gone) == ([], {})


def test_a_node_of_several_hosts_needs_a_cluster() -> None:
    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()
        del cluster.kernel("a").tables["pubsub"]  # as if it had been started without
        with pytest.raises(NotInCluster, match="cluster=True"):
            ask(cluster, "a", broadcast, "t", 1)


class Tree(Supervisor):
    def init(self) -> Any:
        return [PubSub.spec(), PubSub.spec("orders"), Tracker.spec()]


def test_specs_may_stand_in_a_tree() -> None:
    with foundation.start(Tree, hosts=0) as node:
        assert node.run(everything)[0] == [1, 0, 1, 1]


def test_outside_a_process() -> None:
    for function in (lambda: subscribe("t"), lambda: broadcast("t", 1), lambda: Tracker.list("t")):
        with pytest.raises(NotInProcess):
            function()


@pytest.mark.parametrize(
    ("error", "function"),
    [
        (ValueError, lambda: subscribe()),
        (ValueError, lambda: subscribe("t", pattern="t*")),
        (ValueError, lambda: subscribe("")),
        (ValueError, lambda: subscribe(pattern="")),
        (TypeError, lambda: subscribe(7)),
        (TypeError, lambda: subscribe(pattern=b"t")),
        (TypeError, lambda: subscribe("t", name=None)),
        (ValueError, lambda: unsubscribe()),
        (TypeError, lambda: broadcast(None, 1)),
        (ValueError, lambda: broadcast("", 1)),
        (TypeError, lambda: broadcast("t", 1, name=7)),
        (TypeError, lambda: broadcast_from("t", 1, from_="ann")),
        (TypeError, lambda: direct_broadcast(7, "t", 1)),
        (TypeError, lambda: subscribers(7)),
        (ValueError, lambda: nodes_interested("")),
        (ValueError, lambda: PubSub.spec("")),
    ],
)
def test_wrong_arguments_are_refused(error: type[Exception], function: Any) -> None:
    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()
        with pytest.raises(error):
            ask(cluster, "a", function)


def test_what_is_remembered_of_topics_is_bounded() -> None:
    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()

        async def body() -> int:
            await subscribe(pattern="*5")
            for number in range(MAX_ROUTES + 10):
                broadcast(f"topic{number}", number)
            kernel_side = pubsub_of(foundation.kernel.ops.current())
            return len(kernel_side.exchange("pubsub")._routes)

        assert cluster.run("a", body) <= MAX_ROUTES


def test_values_travel() -> None:
    pid = Pid("a/w1", 1, 2)
    for value in (Published("t", [1], pid), PresenceDiff("t", {"k": []}, {})):
        assert loads(dumps(value), allow_pickle=False) == value


@pytest.mark.parametrize("seed", range(20))
def test_interests_against_a_list(seed: int) -> None:
    rng = random.Random(seed)
    table: Interests[int, int] = Interests()
    model: dict[tuple[int, str, int], int] = {}
    texts = ["a", "ab", "b", "a*", "*b", "?", "[ab]"]
    for step in range(300):
        entry = rng.choice((TOPIC, PATTERN)), rng.choice(texts), rng.randrange(4)
        if rng.random() < 0.6:
            table.add(*entry, step)
            model[entry] = step
        else:
            assert table.remove(*entry) == (model.pop(entry, None) is not None)
        topic = rng.choice(("a", "ab", "b", "ba", "a*"))
        found = table.match(topic)
        for who in range(4):
            exact = model.get((TOPIC, topic, who))
            by_pattern = [
                what
                for (kind, text, other), what in model.items()
                if other == who and kind == PATTERN and fnmatchcase(topic, text)
            ]
            assert (who in found) == (exact is not None or bool(by_pattern))
            if who in found:
                assert found[who] == exact if exact is not None else found[who] in by_pattern
        for kind in (TOPIC, PATTERN):
            assert table.texts(kind) == sorted({t for k, t, _ in model if k == kind})
        assert len(table._matchers) == len(table.texts(PATTERN))


@pytest.mark.parametrize("seed", range(20))
def test_diffs_lead_from_state_to_state(seed: int) -> None:
    rng = random.Random(seed)
    changed: list[str] = []
    dead: dict[Pid, None] = {}
    view = PresenceView(changed.append, dead)
    view.watch("t")
    pids = [Pid("a/w1", 1, n) for n in range(5)]
    seen: dict[Any, Any] = {}
    for step in range(400):
        place = ("t", rng.choice("xyz"), rng.choice(pids))
        action = rng.random()
        if action < 0.5:
            view.set(*place, dumps(step), step)
        elif action < 0.8:
            view.unset(*place)
        elif action < 0.82 and len(dead) < 4:
            dead[place[2]] = None
            view.died(place[2])
        elif action > 0.9:
            for key, before, now in view.diff("t"):
                pid = (before or now).pid
                assert seen.pop((key, pid), None) == (before and before.meta)
                if now is not None:
                    seen[(key, pid)] = now.meta
            entries = view.entries("t")
            assert seen == {(k, e.pid): e.meta for k, found in entries.items() for e in found}
            assert not any(pid in dead for _, pid in seen)
            assert view.count("t") == len(entries) == len({key for key, _ in seen})
            assert view.diff("t") == []
    assert changed
