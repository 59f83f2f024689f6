"""Traces over hosts and nodes, in simulations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation import scope
from foundation.cluster import pubsub
from foundation.errors import CallExit
from foundation.otp import (
    GenServer,
    NoReply,
    Task,
    call,
    cast,
    me,
    receive,
    reply,
    send,
    spawn,
    sys,
    trap_exit,
)
from foundation.otp import exit as kill
from foundation.scope.tracer import TABLE
from foundation.testing import ClusterSimulation, Simulation
from tests.scope.kit import Shop, Stock, in_cluster, one, order, shop_over_three_nodes

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_call_over_three_nodes_is_one_chain_of_causes(seed: int) -> None:
    async def body() -> Any:
        stock, shop = await shop_over_three_nodes()
        async with await scope.start_trace("three") as trace:
            with scope.span("order"):
                assert await call(shop, "apple") == 9
            await call(stock, "sync")  # what was cast to it has been taken
        return await trace.collect(), stock, shop

    report, stock, shop = in_cluster(body, seed=seed)
    assert report.complete, report.summary()
    assert sorted(report.nodes) == ["a", "b", "c"]
    assert all(len(hosts) == 2 for hosts in report.nodes.values())
    events = [e for e in report.events if e.text not in ("'sync'", "8")]
    span = one(events, kind="span", text="order")
    first = one(events, kind="call", text="'apple'")
    inner = one(events, kind="span", text="checkout")
    second = one(events, kind="call", receiver=stock)
    back = one(events, kind="reply", sender=stock)
    noted = one(events, kind="cast")
    answer = one(events, kind="reply", sender=shop)
    assert len(events) == 7
    assert {e.chain for e in events} == {span.id}
    assert [e.parent for e in (first, inner, second)] == [span.id, first.id, inner.id]
    assert [e.parent for e in (back, noted, answer)] == [second.id, first.id, first.id]
    assert (back.answers, answer.answers) == (second.id, first.id)
    assert report.errors == report.unanswered == ()
    assert [report.label(pid) for pid in (stock, shop)] == ["stock", "shop"]


def assert_ordered(report: Any) -> None:
    """No stamp contradicts a cause (S1)."""
    known = {event.id: event for event in report.events}
    for event in report.events:
        assert event.taken is None or event.taken > event.sent or event.kind in ("end",)
        parent = known.get(event.parent)
        if parent is not None and parent.taken is not None and parent.kind != "span":
            assert parent.taken <= event.sent, (parent, event)
        if event.answers in known:
            assert known[event.answers].sent < event.sent
    stamps = [(moment.stamp, moment.host) for moment in report.timeline]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("seed", SEEDS)
def test_stamps_follow_causes_though_the_clocks_of_the_nodes_differ_by_hours(seed: int) -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        await asyncio.gather(*(call(shop, n) for n in range(5)))
        await Task.await_many([Task.run(order, shop, host=f"{node}/w1") for node in "bc"])
        await trace.stop()
        return await trace.collect()

    with ClusterSimulation(seed, nodes=3) as cluster:
        cluster.form()
        cluster.nodes["b"].clock = 3600.0
        cluster.nodes["c"].clock = 7200.0
        report = cluster.run("a", body)
    assert report.complete, report.summary()
    assert len([e for e in report.events if e.crosses and e.taken is not None]) >= 20
    assert_ordered(report)


def test_a_crash_is_an_error_with_what_caused_it() -> None:
    async def body() -> Any:
        stock, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        with pytest.raises(CallExit):
            await call(shop, "boom")
        await trace.stop()
        return await trace.collect(), stock, shop

    report, stock, shop = in_cluster(body)
    ends = [e for e in report.errors if e.kind == "end"]
    assert [e.sender for e in ends] == [stock, shop]
    assert "ValueError: boom" in ends[0].text
    first = one(report.events, kind="call", receiver=shop)
    assert {e.chain for e in report.errors} == {first.id}
    assert {e.sender for e in report.errors if e.kind == "reply"} == {stock, shop}
    assert_ordered(report)


def test_a_timer_is_caused_by_what_set_it() -> None:
    async def body() -> Any:
        stock = await Stock.start(host="w1")
        shop = await Shop.start(stock, host="w2")
        trace = await scope.start_trace()
        send(shop, "later")
        await asyncio.sleep(2.0)
        return await trace.collect(), stock, shop

    with Simulation(3, hosts=3, delay=(0.001, 0.01)) as simulation:
        report, stock, shop = simulation.run(body)
    set_it = one(report.events, text="'later'")
    late = one(report.events, text="'late'")
    assert (late.parent, late.sender, late.receiver) == (set_it.id, shop, stock)
    assert late.sent.seconds - set_it.taken.seconds == pytest.approx(1.0, abs=0.001)


def test_a_broadcast_and_a_task_on_another_node_belong_to_the_chain() -> None:
    async def listen(parent: Any) -> None:
        pubsub.subscribe("news")
        send(parent, "ready")
        send(parent, await receive())

    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        await Task.start(listen, me())
        task = Task.run(listen, me(), host="b/w1")
        for _ in range(2):
            assert await receive(lambda m: m == "ready") == "ready"
        async with asyncio.timeout(10):
            while sorted(pubsub.nodes_interested("news")) != ["a", "b"]:
                await asyncio.sleep(0.01)
        trace = await scope.start_trace()
        with scope.span("all"):
            pubsub.broadcast("news", "hello")
            for _ in range(2):
                assert await receive(lambda m: m == "hello") == "hello"
            await Task.run(order, shop, host="b/w1").result()
        task.ignore()
        await trace.stop()
        return await trace.collect()

    report = in_cluster(body)
    news = [e for e in report.events if e.text == "'hello'"]
    assert len(news) == 4  # two to the listeners, two from them
    root = one(report.events, kind="span", text="all")
    assert {e.chain for e in report.events} == {root.id}
    assert [e.parent for e in news].count(root.id) == 2
    assert one(report.events, kind="spawn", text="'order'").parent in {e.id for e in report.events}
    pear = one(report.events, kind="call", text="'pear'")
    assert report.label(pear.sender) == "order"
    assert_ordered(report)


def test_what_an_asyncio_task_of_a_process_sends_is_caused_by_its_span() -> None:
    async def body() -> Any:
        stock = await Stock.start(host="w1")
        trace = await scope.start_trace()

        async def part(name: str) -> None:
            with scope.span(name):
                await asyncio.sleep(0.1)
                await call(stock, name)

        with scope.span("whole"):
            await asyncio.gather(part("one"), part("two"))
        with pytest.raises(KeyError), scope.span("bad"):
            raise KeyError("x")
        return await trace.collect()

    with Simulation(2, hosts=2) as simulation:
        report = simulation.run(body)
    whole = one(report.events, kind="span", text="whole")
    for name in ("one", "two"):
        part = one(report.events, kind="span", text=name)
        assert part.parent == whole.id
        assert one(report.events, kind="call", text=repr(name)).parent == part.id
    assert [e.text for e in report.errors] == ["bad"]


def test_a_process_that_starts_during_a_trace_inherits_its_cause() -> None:
    async def body() -> Any:
        stock = await Stock.start(name="stock")
        trace = await scope.start_trace()
        with scope.span("outer"):
            spawn(lambda: cast(stock, "from the child"))
        await call(stock, "sync")
        await asyncio.sleep(0.1)
        return await trace.collect()

    with Simulation(4) as simulation:
        report = simulation.run(body)
    born = one(report.events, kind="spawn")
    child = one(report.events, kind="cast")
    assert (born.receiver, born.id) == (child.sender, child.parent)
    assert one(report.events, kind="end").parent == born.id


def test_messages_held_back_by_suspend_keep_their_causes() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        shop = await Shop.start(stock)
        trace = await scope.start_trace()
        await sys.suspend(stock)
        for number in range(5):
            cast(shop, number)
        await asyncio.sleep(0.1)
        await sys.get_state(stock)
        await sys.resume(stock)
        await call(stock, "sync")
        return await trace.collect(), stock, await sys.get_state(stock)

    with Simulation(6) as simulation:
        report, stock, state = simulation.run(body)
    assert state["notes"] == [0, 1, 2, 3, 4]
    sent = [e for e in report.events if e.kind == "cast" and e.receiver == stock]
    causes = {e.id: e for e in report.events}
    assert [causes[e.parent].text for e in sent] == [e.text for e in sent] == list("01234")
    assert all(e.taken is not None for e in sent)


class Waiter(GenServer):
    """Answers when somebody else says so; passes on what it receives in the middle of a call."""

    def handle_cast(self, request: Any) -> None:
        self.log = request

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "late":
            send(self.log, caller)
            return NoReply()
        message = await receive(lambda m: m == "go")
        cast(self.log, message)
        return "went"


def test_a_reply_that_another_process_gives_belongs_to_the_chain_of_its_call() -> None:
    async def replies_later() -> None:
        caller = await receive()
        await asyncio.sleep(2.0)
        reply(caller, "at last")

    async def body() -> Any:
        helper = spawn(replies_later)
        waiter = await Waiter.start()
        cast(waiter, helper)
        trace = await scope.start_trace()
        assert await call(waiter, "late") == "at last"
        return await trace.collect()

    with Simulation(6) as simulation:
        report = simulation.run(body)
    asked = one(report.events, kind="call")
    answer = one(report.events, kind="reply")
    assert (answer.answers, answer.chain) == (asked.id, asked.id)
    assert answer.parent == one(report.events, kind="info").id


def test_a_call_that_fails_for_no_known_cause_belongs_to_its_chain() -> None:
    async def body() -> Any:
        waiter = await Waiter.start(host="w1")
        trace = await scope.start_trace()
        simulation.at(simulation.now + 1, simulation.kill, waiter)
        with pytest.raises(CallExit):
            await call(waiter, "wait")
        return await trace.collect()

    with Simulation(6, hosts=2) as simulation:
        report = simulation.run(body)
    asked = one(report.events, kind="call")
    answer = one(report.events, kind="reply")
    assert (answer.answers, answer.chain, answer.ok) == (asked.id, asked.chain, False)


def test_what_a_server_receives_while_it_waits_is_the_cause_of_what_follows() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        waiter = await Waiter.start()
        cast(waiter, stock)
        task = Task.run(ask_to_go, waiter)
        await asyncio.sleep(1.0)
        trace = await scope.start_trace()
        with scope.span("now"):
            send(waiter, "go")
        assert await task.result() == "went"
        await asyncio.sleep(1.0)
        return await trace.collect()

    with Simulation(6) as simulation:
        report = simulation.run(body)
    went = one(report.events, kind="info", text="'go'")
    assert went.taken is not None
    assert one(report.events, kind="cast").parent == went.id


async def ask_to_go(waiter: Any) -> Any:
    return await call(waiter, "go")


def test_after_an_inner_span_the_outer_one_is_the_cause_again() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        trace = await scope.start_trace()
        with scope.span("outer"):
            with scope.span("inner"):
                await call(stock, 1)
            await call(stock, 2)
        await call(stock, 3)
        return await trace.collect()

    with Simulation(6) as simulation:
        report = simulation.run(body)
    spans = {e.text: e.id for e in report.events if e.kind == "span"}
    parents = {e.text: e.parent for e in report.events if e.kind == "call"}
    assert parents == {"1": spans["inner"], "2": spans["outer"], "3": None}


def test_a_message_that_is_looked_at_and_put_back_has_not_been_taken() -> None:
    """As supervisors do while they end their children."""

    async def body() -> Any:
        await scope.start_trace()
        stock = await Stock.start()
        mailbox = simulation.main.kernel.procs[stock].mailbox
        cause = mailbox.cause
        cast(stock, 1)
        cast(stock, 2)
        for _ in range(2):
            mailbox.append(mailbox.popleft())
        assert mailbox.cause is cause
        events = simulation.main.kernel.tables[TABLE].events()
        assert [(e.text, e.taken) for e in events if e.kind == "cast"] == [("1", None), ("2", None)]
        await call(stock, "sync")
        events = simulation.main.kernel.tables[TABLE].events()
        assert [e.text for e in events if e.kind == "cast" and e.taken] == ["1", "2"]
        return await sys.get_state(stock)

    with Simulation(6) as simulation:
        assert simulation.run(body)["notes"] == [1, 2]


def test_exit_signals_and_monitors_tell_who_ended() -> None:
    async def body() -> Any:
        trap_exit()
        stock = await Stock.start_link(host="w1")
        trace = await scope.start_trace()
        cast(stock, "stop")
        assert (await receive()).reason == "normal"
        return await trace.collect(), stock

    with Simulation(6, hosts=2) as simulation:
        report, stock = simulation.run(body)
    end = one(report.events, kind="end")
    signal = one(report.events, kind="signal")
    assert (signal.sender, signal.parent) == (stock, end.id)
    assert end.parent == one(report.events, kind="cast").id




def test_a_note_is_there_whatever_the_trace_wants() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        trace = await scope.start_trace(sample=0.0, of="nobody", text=0)
        scope.note("deployed version 7 " + 100 * "!")
        await call(stock, 1)
        report = await trace.collect()
        scope.note("too late")
        return report

    with Simulation(6) as simulation:
        report = simulation.run(body)
    noted = one(report.events, kind="note")
    assert noted.text == "deployed version 7 " + 100 * "!"
    assert [moment.what for moment in report.timeline] == ["noted"]
    assert "note deployed version 7" in report.diagram()
    assert "Note over p0: note deployed version 7" in report.mermaid()


def test_a_note_belongs_to_what_it_was_made_for() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        trace = await scope.start_trace()
        with scope.span("order"):
            scope.note("no stock")
            await call(stock, 1)
        return await trace.collect()

    with Simulation(6) as simulation:
        report = simulation.run(body)
    span = one(report.events, kind="span")
    noted = one(report.events, kind="note")
    assert (noted.chain, noted.parent) == (span.chain, span.id)


def test_a_note_without_a_trace_does_nothing_and_must_be_a_text() -> None:
    scope.note("nobody traces")
    with pytest.raises(scope.ScopeError, match="must be a str, got 7"):
        scope.note(7)  # type: ignore[arg-type]


class Slow(Stock):
    """Never answers."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return NoReply()


async def failing_calls() -> Any:
    slow = await Slow.start(name="slow", host="b/w1")
    near = await Slow.start(name="near", host="a/w1")
    dead = await Stock.start(host="a/w1")
    far = await Stock.start(host="b/w1")
    for pid in (dead, far):
        kill(pid, "kill")
    await asyncio.sleep(1.0)
    trace = await scope.start_trace()
    servers = ["nobody", ("nobody", "b"), ("slow", "z"), dead, far, "near", slow, near, me()]
    for number, server in enumerate(servers):
        with pytest.raises(CallExit):
            await call(server, f"q{number}", timeout=0.5)
        with pytest.raises(CallExit):
            await asyncio.gather(call(server, f"g{number}", timeout=0.5))
    await trace.stop()
    return await trace.collect(), near, slow, dead


def test_each_call_that_fails_is_an_error_that_says_why() -> None:
    report, near, slow, dead = in_cluster(failing_calls)
    calls = {e.text.strip("'"): e for e in report.events if e.kind == "call"}
    assert sorted(calls) == sorted([f"{how}{n}" for how in "qg" for n in range(9)])
    why = {e.answers: e for e in report.errors}
    for text, sent in calls.items():
        found = why[sent.id]
        assert (found.ok, found.chain, found.parent) == (False, sent.chain, sent.id)
        expected = {
            **dict.fromkeys("012", "noproc: nobody holds the name "),
            "3": "noproc: the process has ended",
            "4": "'noproc'",
            **dict.fromkeys("567", "timeout: no reply has come in time"),
            "8": "calling_self: it is the caller itself" if text[0] == "q" else "timeout: ",
        }[text[1]]
        assert found.text.startswith(expected), (text, found.text)
        assert found.kind == ("reply" if text[1] == "4" else "failure")
    assert len(report.errors) == 18
    assert report.unanswered == ()
    assert report.label(calls["q0"].receiver) == "nobody: 'nobody'"
    assert calls["q3"].receiver == dead
    assert calls["q5"].receiver == near
    assert calls["q6"].receiver == slow
    assert "18 errors" in report.summary()
    assert "✗ failure of a call: noproc: nobody" in report.diagram(400)
    assert "failed" in [moment.what for moment in report.timeline]
    assert report.mermaid()


def test_a_failure_is_recorded_where_its_call_is_wanted() -> None:
    async def body(of: Any, sample: float) -> Any:
        near = await Slow.start(name="near")
        trace = await scope.start_trace(of=of, sample=sample)
        for server in ("nobody", near):
            with pytest.raises(CallExit):
                await call(server, 1, timeout=0.5)
        return await trace.collect()

    for of, sample, kinds in (
        ("near", 1.0, ["call", "failure"]),
        ("other", 1.0, []),
        (None, 0.0, []),
        (None, 1.0, ["call", "failure", "call", "failure"]),
    ):
        with Simulation(6) as simulation:
            report = simulation.run(body, of, sample)
        assert [e.kind for e in report.events] == kinds
