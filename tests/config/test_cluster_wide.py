"""Real servers on simulated nodes: majority, minority, joiners, writers, losses."""

from __future__ import annotations

from typing import Any

import pytest

from foundation import config
from foundation.config import (
    ConfigChanged,
    ConfigUncertain,
    ConfigVersion,
    QuorumNotReached,
)
from foundation.kernel.ops import exit, receive
from tests.config.confsim import (
    PATH,
    agreed,
    cluster,
    declare,
    form,
    joined,
    seen,
    server,
    write,
)

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("expected", [3, None])
def test_what_is_set_on_one_node_is_seen_on_all(seed: int, expected: int | None) -> None:
    with cluster(seed, expected=expected, workers=2) as c:
        form(c)
        assert set(seen(c).values()) == {100}
        assert c.run("a", write, 7) == ConfigVersion(1, "a")
        c.until(lambda: set(seen(c).values()) == {7}, 1.0)
        assert c.run("b", write, 8) == ConfigVersion(2, "b")
        c.until(lambda: set(seen(c).values()) == {8}, 1.0)
        assert {c.run(node, agreed) for node in c.nodes} == {8}


@pytest.mark.parametrize("seed", SEEDS)
def test_all_hosts_of_the_node_see_it_when_set_returns(seed: int) -> None:
    async def body() -> None:
        for value in range(1, 30):
            if value % 3:
                await config.set_cluster_wide(PATH, value)
            else:
                await config.set(PATH, value)
            tables = [h.kernel.tables["registries"].by_name for h in c.nodes["a"].hosts.values()]
            found = [t[config.TABLE].meta(("limits", "rate")) for t in tables]
            assert [setting.value for setting in found] == [value] * 3
            assert config.get(PATH) == value
            await config.reset(PATH)

    with cluster(seed, workers=2) as c:
        form(c)
        c.run("a", body)


def test_a_minority_refuses_and_nothing_is_applied() -> None:
    with cluster(1) as c:
        form(c)
        assert c.run("a", write, 1).number == 1
        c.until(lambda: set(seen(c).values()) == {1})
        c.isolate(["c"])
        error = c.run("c", write, 2)
        assert isinstance(error, QuorumNotReached)
        assert (error.needed, error.nodes) == (2, ("c",))
        assert isinstance(c.run("c", agreed, 1.0), QuorumNotReached)
        assert c.run("c", _get_local) == 1
        assert c.run("a", write, 3) == ConfigVersion(2, "a")
        c.network.heal()
        c.until(lambda: set(seen(c).values()) == {3})
        c.until(lambda: joined(c))
        assert c.run("c", write, 4) == ConfigVersion(3, "c")


async def _get_local() -> Any:
    return config.get(PATH)


def test_a_write_waits_for_a_majority_that_comes_back_in_time() -> None:
    with cluster(2) as c:
        form(c)
        c.isolate(["c"])
        c.advance(3.0)
        writing = c.spawn("c", write, 5, 10.0)
        c.advance(1.0)
        assert not writing.ended
        c.network.heal()
        c.until(lambda: writing.ended)
        assert writing.result() == ConfigVersion(1, "c")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_joiner_has_what_was_decided_before_it_is_available(seed: int) -> None:
    with cluster(seed, nodes=3) as c:
        c.start("a")
        c.start("b")
        c.until(lambda: joined(c))
        c.run("a", declare)
        assert c.run("a", write, 11).number == 1
        c.start("c")
        c.until(lambda: c.started("c"))
        c.until(lambda: server(c, "c").machine.available)
        found = server(c, "c").settings.cluster["limits", "rate"]
        assert found == (11, ConfigVersion(1, "a"))
        c.crash("a")
        c.run("c", declare)
        assert c.run("c", agreed) == 11
        assert c.run("c", write, 12) == ConfigVersion(2, "c")


@pytest.mark.parametrize("seed", range(10))
def test_writers_on_all_nodes_at_once_are_serialised(seed: int) -> None:
    with cluster(seed, nodes=5, expected=5) as c:
        form(c)
        writers = [
            c.spawn(node, write, 10 * number + index + 1, 30.0)
            for number in range(4)
            for index, node in enumerate(c.nodes)
        ]
        c.until(lambda: all(w.ended for w in writers), 30.0)
        versions = [w.result().number for w in writers]
        assert sorted(versions) == list(range(1, 21))
        last = versions.index(20)
        value = 10 * (last // 5) + last % 5 + 1
        c.until(lambda: set(seen(c).values()) == {value})


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_that_write_without_a_pause_are_all_served(seed: int) -> None:
    async def many(value: int) -> list[Any]:
        return [await write(value) for _ in range(60)]

    with cluster(seed) as c:
        form(c)
        writers = [c.spawn(node, many, index + 1) for index, node in enumerate(c.nodes)]
        c.until(lambda: all(w.ended for w in writers), 60.0)
        results = [each for w in writers for each in w.result()]
        assert [each for each in results if not isinstance(each, ConfigVersion)] == []
        assert sorted(each.number for each in results) == list(range(1, 181))


def test_more_writes_than_there_is_time_for_are_refused_with_the_reason() -> None:
    with cluster(4) as c:
        form(c)
        c.isolate(["a"])
        first = c.spawn("a", write, 1, 30.0)
        error = c.run("a", write, 2, 1.0)
        assert isinstance(error, QuorumNotReached)
        assert "it waited for other writes" in str(error)
        c.network.heal()
        c.until(lambda: first.ended)
        assert isinstance(first.result(), ConfigVersion)


@pytest.mark.parametrize("seed", range(10))
def test_no_write_is_lost_with_any_minority(seed: int) -> None:
    with cluster(seed, nodes=5, expected=5) as c:
        form(c)
        for round in range(4):
            up = [node.name for node in c.live()]
            writer = c.random.choice(up)
            version = c.run(writer, write, round + 1)
            assert version.number == round + 1
            lost = c.random.sample(up, 2)
            for name in lost:
                c.crash(name)
            reader = c.random.choice([name for name in up if name not in lost])
            assert c.run(reader, agreed, 30.0) == round + 1
            for name in lost:
                c.start(name)
            c.until(lambda: c.formed() and joined(c))
            for name in lost:
                c.run(name, declare)


@pytest.mark.parametrize("seed", range(10))
def test_rolling_restarts_lose_nothing(seed: int) -> None:
    with cluster(seed) as c:
        form(c)
        assert c.run("a", write, 42).number == 1
        for _ in range(3):
            for name in "abc":
                c.crash(name)
                c.advance(c.random.choice((0.0, 0.05, 1.0, 4.0)))
                c.start(name)
                c.until(lambda: c.formed() and joined(c))
        for name in "abc":
            c.run(name, declare)
        assert set(seen(c).values()) == {42}


@pytest.mark.parametrize("part", [config.SERVER, config.TABLE])
def test_a_server_that_ends_is_replaced_by_one_that_joins_anew(part: str) -> None:
    with cluster(3) as c:
        form(c)
        assert c.run("a", write, 5).number == 1
        old = server(c, "a").machine.me
        pid = c.kernel("a", "control").names.lookup(part)
        c.run("a", lambda: exit(pid, "kill"))
        c.advance(0.1)
        c.until(lambda: joined(c))
        assert server(c, "a").machine.me != old
        assert set(seen(c).values()) == {5}
        assert c.run("a", write, 6) == ConfigVersion(2, "a")


def test_a_writer_whose_majority_is_lost_midway_says_that_it_does_not_know() -> None:
    with cluster(4) as c:
        form(c)
        machine = server(c, "a").machine
        send, armed = c.network.send_frame, [True]

        def lose(source: str, destination: str, frame: bytes) -> None:
            asked = [op.phase for op in machine.rounds._open.values()]
            if armed and "accept" in asked and source.startswith("a/"):
                return  # what the others are asked to accept is lost
            send(source, destination, frame)

        c.network.send_frame = lose
        error = c.run("a", write, 9, 1.0)
        assert isinstance(error, ConfigUncertain)
        assert "when 1.0 s were over this node had not heard of a majority" in str(error)
        armed.clear()
        c.isolate(["a"])
        c.network.heal()
        c.until(lambda: joined(c))
        value = c.run("b", agreed, 20.0)
        assert value in (9, 100)
        c.until(lambda: set(seen(c).values()) == {value})


@pytest.mark.parametrize("seed", range(5))
def test_without_a_size_both_sides_go_on_and_the_higher_version_stays(seed: int) -> None:
    with cluster(seed, nodes=4, expected=None) as c:
        form(c)
        assert c.run("a", write, 1).number == 1
        c.isolate(["a", "b"])
        assert c.run("a", write, 2, 20.0) == ConfigVersion(2, "a")
        for number in (2, 3, 4):
            assert c.run("d", write, 10 * number, 20.0) == ConfigVersion(number, "d")
        assert c.run("b", agreed) == 2
        c.network.heal()
        c.until(lambda: joined(c))
        c.until(lambda: set(seen(c).values()) == {40})
        assert {c.run(node, agreed) for node in c.nodes} == {40}
        assert c.run("b", write, 50).number == 5


@pytest.mark.parametrize("seed", range(5))
def test_when_a_majority_forgot_the_rest_hands_over_what_it_holds(seed: int) -> None:
    with cluster(seed) as c:
        form(c)
        assert c.run("a", write, 77).number == 1
        c.until(lambda: set(seen(c).values()) == {77})
        c.crash("a")
        c.crash("b")
        c.start("a")
        c.start("b")
        c.until(lambda: c.formed() and joined(c))
        for name in "ab":
            c.run(name, declare)
        c.until(lambda: set(seen(c).values()) == {77})
        assert c.run("b", write, 78) == ConfigVersion(2, "b")


async def _listen(prefix: str, heard: list[ConfigChanged]) -> None:
    await config.subscribe(prefix)
    while True:
        heard.append(await receive())


def test_subscribers_are_told_of_what_get_returns_in_order() -> None:
    with cluster(5, workers=2) as c:
        form(c)
        heard: dict[str, list[ConfigChanged]] = {"limits": [], "": [], "limits.rate": [], "x": []}
        for prefix, messages in heard.items():
            c.spawn("b", _listen, prefix, messages, host="w2")
        c.advance(1.0)
        for value in (1, 2, 3):
            assert c.run("a", write, value).number == value
        c.until(lambda: len(heard["limits"]) == 3)

        async def override() -> None:
            await config.set(PATH, 50)

        async def undo() -> None:
            await config.reset(PATH)

        c.run("b", override)
        assert c.run("a", write, 4).number == 4  # hidden on b
        c.until(lambda: server(c, "b").settings.cluster["limits", "rate"][0] == 4)
        c.run("b", undo)
        c.until(lambda: len(heard["limits"]) == 5)
        path = ("limits", "rate")
        assert heard["limits"] == [
            ConfigChanged(path, 100, 1, ConfigVersion(1, "a"), "cluster"),
            ConfigChanged(path, 1, 2, ConfigVersion(2, "a"), "cluster"),
            ConfigChanged(path, 2, 3, ConfigVersion(3, "a"), "cluster"),
            ConfigChanged(path, 3, 50, None, "local"),
            ConfigChanged(path, 50, 4, ConfigVersion(4, "a"), "cluster"),
        ]
        c.advance(1.0)
        assert heard[""] == heard["limits.rate"] == heard["limits"]
        assert heard["x"] == []


def test_a_cluster_wide_reset_brings_the_default_back_everywhere() -> None:
    async def remove() -> Any:
        return await config.reset_cluster_wide(PATH)

    with cluster(6) as c:
        form(c)
        assert c.run("a", write, 5).number == 1
        assert c.run("b", remove) == ConfigVersion(2, "b")
        c.until(lambda: set(seen(c).values()) == {100})
        assert c.run("c", agreed) == 100
        assert c.run("c", write, 6) == ConfigVersion(3, "c")
