"""Middleware: on both sides, in order, in all hosts of a node; compression and tracing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from foundation import channels
from foundation.channels import TRACE, Compression, MiddlewareError, Trace, Tracing, current_trace
from foundation.channels.middleware import made, run
from foundation.channels.values import Envelope
from foundation.cluster.pubsub import Published
from foundation.facade import explain
from foundation.kernel.values import Pid
from foundation.otp import receive
from foundation.testing.cluster_sim import ClusterSimulation
from tests.channels.kit import (
    App,
    Ear,
    InTime,
    Twice,
    answer_nonsense,
    fail,
    in_time,
    lower,
    refuse_secrets,
    stamp,
)
from tests.cluster.pubsub.actors import Listener


@pytest.fixture
def cluster() -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=5, nodes=2, workers=2, app=App) as made:
        made.form()
        yield made


def use(cluster: ClusterSimulation, node: str, middleware: Any, **options: Any) -> str:
    async def body() -> str:
        return await channels.use(middleware, **options)

    name: str = cluster.run(node, body)
    return name


def say(cluster: ClusterSimulation, node: str, channel: str, message: Any, **options: Any) -> Any:
    async def body() -> Any:
        with explain() as plan:
            channels.broadcast(channel, message, **options)
        return [str(step) for step in plan]

    steps = cluster.run(node, body)
    cluster.advance(0.1)
    return steps


# The chain


def _envelope(message: Any = 1) -> Envelope:
    return Envelope("events", message, Pid("a/w1", 1, 1), "publish")


def test_the_first_is_the_outermost_and_each_may_change_or_drop() -> None:
    seen: list[Any] = []

    def outer(envelope: Envelope, following: Any) -> Any:
        seen.append(("out", envelope.message))
        found = following(envelope.replace(message=envelope.message + 1))
        seen.append(("back", found and found.message))
        return found

    def inner(envelope: Envelope, following: Any) -> Any:
        seen.append(("in", envelope.message))
        return following(envelope) if envelope.message < 10 else None

    sent: list[Any] = []

    def final(envelope: Envelope) -> Envelope:
        sent.append(envelope.message)
        return envelope

    assert run((outer, inner), _envelope(1), final) == _envelope(2)
    assert run((outer, inner), _envelope(9), final) is None
    assert sent == [2]
    assert seen[:3] == [("out", 1), ("in", 2), ("back", 2)]
    assert run((), _envelope(5), final) == _envelope(5)


def test_what_is_no_envelope_is_refused() -> None:
    with pytest.raises(MiddlewareError, match="returned 'nonsense'"):
        run((answer_nonsense,), _envelope(), lambda envelope: envelope)
    with pytest.raises(MiddlewareError, match="passed on 'x'"):
        run((lambda envelope, following: following("x"),), _envelope(), lambda e: e)


def changing(**changes: Any) -> Any:
    def middleware(envelope: Envelope, following: Any) -> Any:
        return following(envelope.replace(**changes))

    return middleware


@pytest.mark.parametrize("side", ["publish", "deliver"])
@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({"message": 2}, ("publish", "deliver")),
        ({"metadata": {"a": 1}}, ("publish", "deliver")),
        ({"priority": "low"}, ("publish",)),
        ({"compress": True}, ("publish",)),
        ({"compress": 0}, ("publish",)),
        ({"channel": "control"}, ()),
        ({"publisher": Pid("b/w1", 1, 1)}, ()),
        ({"side": "both"}, ()),
        ({"priority": "urgent"}, ()),
        ({"compress": "yes"}, ()),
        ({"compress": -1}, ()),
    ],
)
def test_what_has_no_effect_when_it_is_changed_is_refused(
    changes: dict[str, Any], sides: tuple[str, ...], side: str
) -> None:
    envelope = _envelope().replace(side=side)
    chain = (changing(), changing(**changes), changing())
    if side in sides:
        assert run(chain, envelope, lambda e: e) == envelope.replace(**changes)
    else:
        with pytest.raises(MiddlewareError, match=f"changed {next(iter(changes))} "):
            run(chain, envelope, lambda e: e)


# In a cluster


def test_a_priority_that_middleware_sets_counts(cluster: ClusterSimulation) -> None:
    use(cluster, "a", lower)
    assert say(cluster, "a", "events", 1) == ["publish('foundation:events', 1, bulk=True)"]


def test_middleware_works_on_both_sides_in_all_hosts_of_its_node(
    cluster: ClusterSimulation,
) -> None:
    before = Ear(cluster, "a", "events", host="w2")  # subscribed before there is any
    name = use(cluster, "a", stamp)
    assert name == "tests.channels.kit.stamp"
    ears = [before, Ear(cluster, "a", "events"), Ear(cluster, "b", "events")]
    plain = Listener(cluster, "a", "w1", "foundation:events")
    cluster.until(lambda: plain.subscribed)
    say(cluster, "a", "events", ["x"])
    assert ears[0].got == ears[1].got == [["x", ("stamp", "publish"), ("stamp", "deliver")]]
    assert ears[2].got == [["x", ("stamp", "publish")]]  # the other node has no middleware
    assert plain.got == [["x", ("stamp", "publish")]]  # nor have subscribers by primitives
    say(cluster, "b", "events", ["y"])
    assert ears[0].got[1:] == [["y", ("stamp", "deliver")]]


def test_middleware_that_was_removed_or_replaced_is_no_more(cluster: ClusterSimulation) -> None:
    ear = Ear(cluster, "b", "events")
    use(cluster, "a", stamp, name="first", sides="publish", mark=1)
    use(cluster, "a", stamp, name="second", sides=["publish"], mark=2)
    say(cluster, "a", "events", [])
    use(cluster, "a", stamp, name="first", sides="publish", mark=3)  # keeps its place
    say(cluster, "a", "events", [])

    async def remove(name: str) -> tuple[bool, list[str]]:
        return await channels.remove(name), channels.installed()

    assert cluster.run("a", remove, "first") == (True, ["second"])
    assert cluster.run("a", remove, "first") == (False, ["second"])
    say(cluster, "a", "events", [])
    assert cluster.run("a", remove, "second", host="w2") == (True, [])
    assert say(cluster, "a", "events", []) == ["broadcast('foundation:events', [])"]
    marks = [[mark for mark, _ in message] for message in ear.got]
    assert marks == [[1, 2], [3, 2], [2], []]


def test_middleware_may_drop_on_either_side(cluster: ClusterSimulation) -> None:
    ear, other = Ear(cluster, "a", "events"), Ear(cluster, "b", "events")
    use(cluster, "b", refuse_secrets, sides="deliver")
    for message in ("secret", "known"):
        say(cluster, "a", "events", message)
    assert (ear.got, other.got) == (["secret", "known"], ["known"])
    assert say(cluster, "b", "events", "secret") != []
    use(cluster, "b", refuse_secrets)
    assert say(cluster, "b", "events", "secret") == []
    assert ear.got == ["secret", "known", "secret"]


def test_an_error_on_the_publishers_side_is_the_publishers(cluster: ClusterSimulation) -> None:
    use(cluster, "a", fail, sides="publish")
    ear = Ear(cluster, "b", "events")
    with pytest.raises(LookupError, match="no good"):
        say(cluster, "a", "events", "bad")
    say(cluster, "a", "events", "good")
    assert ear.got == ["good"]


def test_an_error_on_the_subscribers_side_drops_the_message(cluster: ClusterSimulation) -> None:
    got: list[Any] = []
    use(cluster, "b", fail, sides="deliver")
    ear = Ear(cluster, "b", "data")

    cluster.spawn("b", _subscribe, "data", got.append)
    cluster.advance(0.2)
    for message in ("bad", "good"):
        say(cluster, "a", "data", message)
    assert ear.got == got == ["good"]
    assert sum("no good" in str(report) for _, report in cluster.reports) == 2


def test_a_class_is_made_with_its_settings(cluster: ClusterSimulation) -> None:
    ear = Ear(cluster, "b", "data")
    assert use(cluster, "a", Twice, times=3) == "tests.channels.kit.Twice"
    say(cluster, "a", "data", "x")
    assert ear.got == ["x"] * 3


@pytest.mark.parametrize(
    ("middleware", "options", "error"),
    [
        (7, {}, TypeError),
        (Twice, {"no_such": 1}, TypeError),
        (stamp, {"no_such": 1}, TypeError),
        (lambda envelope: envelope, {}, TypeError),
        (lambda envelope, following, third: envelope, {}, TypeError),
        (lambda *, envelope, following: envelope, {}, TypeError),
        (in_time, {}, TypeError),
        (partial(in_time), {}, TypeError),
        (InTime, {}, TypeError),
        (InTime(), {}, TypeError),
        (Ear, {"cluster": 1}, TypeError),
        (stamp, {"sides": "both"}, ValueError),
        (stamp, {"sides": ()}, ValueError),
        (stamp, {"name": ""}, ValueError),
        (Compression, {"threshold": -1}, ValueError),
    ],
)
def test_bad_middleware_is_refused(
    cluster: ClusterSimulation, middleware: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        use(cluster, "a", middleware, **options)
    assert cluster.run("a", installed) == []


async def installed() -> list[str]:
    return channels.installed()


def test_what_is_wrong_with_a_middleware_is_said() -> None:
    with pytest.raises(TypeError, match=r"as \(envelope, next\), and foo as .*'foo'"):
        made(stamp, {"foo": 1})
    with pytest.raises(TypeError, match="is async, and middleware must not wait"):
        made(in_time, {})


@pytest.mark.parametrize(
    "good", [stamp, Twice, Twice(), partial(stamp, mark="x"), lambda *args, **more: None]
)
def test_whatever_takes_an_envelope_and_next_is_middleware(good: Any) -> None:
    assert callable(made(good, {}))


def test_a_host_that_takes_the_place_of_another_has_the_middleware(
    cluster: ClusterSimulation,
) -> None:
    use(cluster, "a", stamp, sides="publish")
    ear = Ear(cluster, "b", "events")
    cluster.nodes["a"].crash_host("w2")
    cluster.advance(1)

    async def body() -> None:
        channels.broadcast("events", [])

    cluster.run("a", body, host="w2")
    cluster.until(lambda: ear.got == [[("stamp", "publish")]])


# Compression


@pytest.mark.parametrize("channel", ["events", "data"])
def test_what_is_long_is_compressed_on_its_way_and_arrives_as_it_was(
    cluster: ClusterSimulation, channel: str
) -> None:
    use(cluster, "a", Compression())
    ears = [Ear(cluster, node, channel) for node in "ab"]
    tagged = Listener(cluster, "b", "w1", f"foundation:{channel}", tagged=True)
    cluster.until(lambda: tagged.subscribed)
    message = {"text": "again and " * 50_000}
    sizes = _bytes_sent(cluster)
    say(cluster, "a", channel, message)
    assert 0 < sum(sizes) < 25_000
    sizes.clear()
    say(cluster, "a", channel, message, compress=False)
    assert sum(sizes) > 500_000
    say(cluster, "a", channel, "short")
    assert [ear.got for ear in ears] == [[message, message, "short"]] * 2
    assert [each.message for each in tagged.got] == [message, message, "short"]


def test_the_threshold_can_be_changed_while_it_runs(cluster: ClusterSimulation) -> None:
    ear = Ear(cluster, "b", "events")
    message = "z" * 5_000
    sizes = _bytes_sent(cluster)
    found = []
    for threshold in (10_000, 1_000):
        use(cluster, "a", Compression, threshold=threshold)
        sizes.clear()
        say(cluster, "a", "events", message)
        found.append(sum(sizes))
    assert found[0] > 5_000 > 1_000 > found[1]
    assert ear.got == [message, message]


def _bytes_sent(cluster: ClusterSimulation) -> list[int]:
    """Return the lengths of the frames that go from a/w1 to b/w1, kept up to date."""
    sizes: list[int] = []
    driver: Any = cluster.kernel("a").driver
    before = driver.send_frame

    def send_frame(host: str, frame: bytes) -> None:
        if host == "b/w1":
            sizes.append(len(frame))
        before(host, frame)

    driver.send_frame = send_frame
    return sizes


# Tracing


def test_a_trace_goes_from_handler_to_handler(cluster: ClusterSimulation) -> None:
    for node in "ab":
        use(cluster, node, Tracing())
    traces: dict[str, Trace | None] = {}

    async def first(message: Any) -> None:
        traces["first"] = current_trace()
        channels.broadcast("telemetry", message)

    def second(message: Any) -> None:
        traces["second"] = current_trace()

    cluster.spawn("b", _subscribe, "events", first)
    cluster.spawn("a", _subscribe, "telemetry", second)
    cluster.advance(0.2)
    say(cluster, "a", "events", 1)
    one, two = traces["first"], traces["second"]
    assert one is not None
    assert two is not None
    assert one.parent_id is None
    assert (two.trace_id, two.parent_id) == (one.trace_id, one.span_id)
    assert (len(one.trace_id), len(one.span_id)) == (32, 16)
    say(cluster, "a", "events", 2)
    assert traces["first"].trace_id != one.trace_id  # type: ignore[union-attr]


async def _subscribe(*args: Any) -> None:
    await channels.subscribe(*args)
    await receive()


def test_a_trace_that_the_publisher_is_in_is_continued_and_plain_subscribers_see_none(
    cluster: ClusterSimulation,
) -> None:
    use(cluster, "a", Tracing)
    ear = Ear(cluster, "b", "data")
    tagged = Listener(cluster, "b", "w1", "foundation:data", tagged=True)
    cluster.until(lambda: tagged.subscribed)

    async def body() -> Any:
        TRACE.set(Trace("t" * 32, "s" * 16))
        channels.broadcast("data", "m")

    cluster.run("a", body)
    cluster.until(lambda: tagged.got)
    published: Published = tagged.got[0]
    assert ear.got == [published.message] == ["m"]
    assert published.metadata is not None
    trace_id, span_id, parent_id = published.metadata["trace"]
    assert (trace_id, parent_id) == ("t" * 32, "s" * 16)
    assert span_id != parent_id
