"""SUP-42 to SUP-51: administration, signals, automatic shutdown."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import (
    AlreadyPresent,
    AlreadyStarted,
    BlockingCall,
    CallExit,
    ChildNotFound,
    ChildRunning,
    InvalidChildSpec,
    NoProc,
    StartError,
)
from foundation.kernel.ops import alive, call, cast, exit, me, receive, send, spawn
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.supervision import BadSpec, ChildCounts
from foundation.otp.supervisor import Supervisor
from tests.otp.supkit import (
    TEMPORARY,
    TRANSIENT,
    Failing,
    Nosy,
    Slow,
    actor,
    by,
    events,
    exit_of,
    no_event,
    pid_of,
    pids,
    probe,
    script,
    start_with_info,
    supervisor,
    trap_exit,
    until,
)


def test_sup_42_start_child(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await Supervisor.start_child(sup, probe("b"))
            assert await call(pid, "label") == "b"
            assert list(await pids(sup)) == ["a", "b"]
            with pytest.raises(AlreadyStarted) as caught:
                await Supervisor.start_child(sup, probe("b"))
            assert caught.value.pid == pid
            await Supervisor.terminate_child(sup, "b")
            with pytest.raises(AlreadyPresent):
                await Supervisor.start_child(sup, probe("b"))
            with pytest.raises(StartError) as failed:
                await Supervisor.start_child(sup, Failing.spec("no luck", id="c"))
            assert failed.value.reason == "no luck"
            assert list(await pids(sup)) == ["a", "b"]

    run(body)


def test_sup_42_a_taken_name(run):
    async def body():
        async with supervisor([probe("a", name="taken-name")]) as sup:
            pid = await pid_of(sup, "a")
            with pytest.raises(AlreadyStarted) as caught:
                await Supervisor.start_child(sup, probe("b", name="taken-name"))
            assert caught.value.pid == pid
            assert list(await pids(sup)) == ["a"]

    run(body)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_sup_43_terminate_child(run, strategy):
    async def body():
        children = [probe(x, trap=True) for x in "abc"]
        children.append(probe("t", TEMPORARY))
        async with supervisor(children, strategy=strategy) as sup:
            await events(4)
            before = await pids(sup)
            assert await Supervisor.terminate_child(sup, "b") is None
            assert await events(1) == [("terminate", "b", "shutdown")]
            await Supervisor.terminate_child(sup, "t")
            assert await pids(sup) == {"a": before["a"], "b": None, "c": before["c"]}
            await Supervisor.terminate_child(sup, "b")
            with pytest.raises(ChildNotFound, match="unknown"):
                await Supervisor.terminate_child(sup, "unknown")
            with pytest.raises(ChildNotFound):
                await Supervisor.terminate_child(sup, ["not hashable"])
            await no_event(sup)

    run(body)


def test_sup_44_delete_and_restart_child(run):
    async def body():
        todo = await script()
        async with supervisor([probe("a"), actor(todo, "b")]) as sup:
            await events(2)
            for operation in (Supervisor.delete_child, Supervisor.restart_child):
                with pytest.raises(ChildRunning):
                    await operation(sup, "a")
                with pytest.raises(ChildNotFound):
                    await operation(sup, "unknown")
            await Supervisor.terminate_child(sup, "a")
            await Supervisor.terminate_child(sup, "b")
            pid = await Supervisor.restart_child(sup, "a")
            assert await call(pid, "label") == "a"
            assert await events(1) == [("init", "a")]
            await call(todo, ("b", ["fail", "raise"]))
            with pytest.raises(StartError) as caught:
                await Supervisor.restart_child(sup, "b")
            assert caught.value.reason == "on purpose"
            with pytest.raises(StartError) as caught:
                await Supervisor.restart_child(sup, "b")
            assert caught.value.reason.type == "ValueError"
            assert (await pids(sup))["b"] is None
            assert await events(2) == [("fail", "b"), ("raise", "b")]
            await no_event(sup)
            await Supervisor.delete_child(sup, "b")
            assert list(await pids(sup)) == ["a"]

    run(body)


def test_sup_45_which_and_count_children(run):
    async def body():
        children = [
            probe("a"),
            Supervisor.spec([], id="s"),
            probe("b", TRANSIENT),
        ]
        async with supervisor(children) as sup:
            found = await Supervisor.which_children(sup)
            assert [child.id for child in found] == ["b", "s", "a"]
            assert [child.type for child in found] == ["worker", "supervisor", "worker"]
            assert found[1].modules == ("foundation.otp.supervisor",)
            assert await Supervisor.count_children(sup) == ChildCounts(3, 3, 1, 2)
            await Supervisor.terminate_child(sup, "b")
            await Supervisor.terminate_child(sup, "s")
            assert await Supervisor.count_children(sup) == ChildCounts(3, 1, 1, 2)
            assert (await Supervisor.which_children(sup))[0].pid is None

    run(body)


def test_sup_46_info_is_handed_through(run):
    async def body():
        async with supervisor([]) as sup:
            spec = by(start_with_info, me(), "i", id="i")
            pid, info = await Supervisor.start_child(sup, spec)
            assert info == {"label": "i"}
            assert await Supervisor.which_child(sup, "i") == (
                await Supervisor.which_child(sup, pid)
            )
            assert await Supervisor.get_childspec(sup, "i") == spec
            assert await Supervisor.get_childspec(sup, pid) == spec
            await Supervisor.terminate_child(sup, "i")
            again, info = await Supervisor.restart_child(sup, "i")
            assert (again != pid, info) == (True, {"label": "i"})
            exit(again, "kill")
            await events(3)
            assert await pid_of(sup, "i") not in (pid, again)
            with pytest.raises(ChildNotFound):
                await Supervisor.get_childspec(sup, "unknown")
            with pytest.raises(ChildNotFound):
                await Supervisor.which_child(sup, pid)

    run(body)


def test_sup_47_requests_wait_their_turn(run):
    async def body():
        async with supervisor([]) as sup:
            slow = Slow.spec(me(), "s", start=0.05, end=0.05, id="s")
            spawn(_ask, Supervisor.start_child, me(), "started", sup, slow)
            assert await events(1) == [("starting", "s")]
            found = await Supervisor.which_children(sup)  # no timeout of 5 s, no answer before
            assert [child.id for child in found] == ["s"]
            assert await events(2) == [("init", "s"), ("started", found[0].pid)]
            spawn(_ask, Supervisor.terminate_child, me(), "terminated", sup, "s")
            assert await events(1) == [("ending", "s", "shutdown")]
            assert (await Supervisor.count_children(sup)).active == 0
            assert await events(2) == [("ended", "s"), ("terminated", None)]

    run(body)


async def _ask(operation, log, label, *args):
    send(log, (label, await operation(*args)))


def test_sup_47_a_child_that_calls_its_supervisor_too_early(run):
    async def body():
        async with supervisor([Nosy.spec(me(), "init", id="n")]) as sup:
            assert await events(1) == [("asked", "WouldDeadlock")]
            assert list(await pids(sup)) == ["n"]

    run(body)


def test_sup_47_a_grandchild_that_calls_the_top_too_early(run):
    async def body():
        trap_exit()
        top = await Supervisor.start_link([], name="top-of-tree")
        await Supervisor.start_child(top, Supervisor.spec([Caller.spec("top-of-tree", me())]))
        assert await events(1) == [("asked", "WouldDeadlock")]
        await Supervisor.stop(top)

    run(body)


class Caller(GenServer):
    async def init(self, supervisor, log):
        try:
            await Supervisor.count_children(supervisor)
        except CallExit as error:
            send(log, ("asked", type(error).__name__))


def test_sup_47_a_child_that_calls_its_supervisor_too_late(run):
    async def body():
        async with supervisor([Nosy.spec(me(), "terminate", id="n")]) as sup:
            await Supervisor.terminate_child(sup, "n")
            assert await events(1) == [("asked", "WouldDeadlock")]

    run(body)


def test_sup_47_calling_it_at_any_other_time_is_fine(run):
    async def body():
        async with supervisor([Asker.spec(me(), id="n", restart=TEMPORARY)]) as sup:
            pid = await pid_of(sup, "n")
            assert await call(pid, "ask") == ["n"]
            assert await events(1) == [("after init", ["n"])]
            cast(pid, "stop")
            # It ends by itself: the supervisor is free and answers.
            assert await events(1) == [("at the end", ["n"])]

    run(body)


class Asker(GenServer):
    def init(self, log):
        from foundation.otp.results import Continue
        from tests.otp.supkit import current

        self.log, self.sup = log, current().parent
        return Continue("ask")

    async def ask(self):
        return [child.id for child in await Supervisor.which_children(self.sup)]

    async def handle_continue(self, argument):
        send(self.log, ("after init", await self.ask()))

    async def handle_call(self, request, caller):
        return await self.ask()

    def handle_cast(self, request):
        from foundation.otp.results import Stop

        return Stop("normal")

    async def terminate(self, reason):
        send(self.log, ("at the end", await self.ask()))


def test_sup_48_the_parents_exit_stops_the_tree(run):
    async def body():
        children = [probe("a", trap=True), probe("b", trap=True)]
        async with supervisor(children) as sup:
            await events(2)
            exit(sup, "parent says so")  # the body is its parent
            assert await exit_of(sup) == "parent says so"
            assert await events(2) == [
                ("terminate", "b", "shutdown"),
                ("terminate", "a", "shutdown"),
            ]

    run(body)


def test_sup_48_the_parents_end(run):
    async def body():
        trap_exit()
        parent = spawn(_parent, [probe("a", trap=True)], me())
        assert sorted(await events(2)) == [("init", "a"), ("up", parent)]
        exit(parent, "kill")
        assert await events(1) == [("terminate", "a", "shutdown")]

    run(body)


async def _parent(children, log):
    await Supervisor.start_link(children)
    send(log, ("up", me()))
    await receive()


def test_sup_48_strangers_cannot_stop_it(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            spawn(exit, sup, "shutdown")
            spawn(exit, sup, "bad")
            send(sup, "stray")
            cast(sup, "stray")
            with pytest.raises(CallExit, match="does not serve"):
                await call(sup, "stray")
            await asyncio.sleep(0.02)
            assert alive(sup)
            assert await pid_of(sup, "a") == pid

    run(body)


def test_sup_48_kill_takes_the_children_along(run):
    async def body():
        async with supervisor([probe("a", trap=True), probe("b")]) as sup:
            await events(2)
            exit(sup, "kill")
            assert await exit_of(sup) == "killed"
            assert await events(1) == [("terminate", "a", "killed")]

    run(body)


def test_sup_50_any_significant(run):
    async def body():
        children = [
            probe("a", trap=True),
            probe("s", TRANSIENT, significant=True),
            probe("t", TRANSIENT, significant=True),
        ]
        async with supervisor(children, auto_shutdown="any_significant") as sup:
            await events(3)
            cast(await pid_of(sup, "s"), "bad")  # restarted
            await events(2)
            cast(await pid_of(sup, "s"), "normal")
            assert await exit_of(sup) == "shutdown"
            assert await events(2) == [
                ("terminate", "s", "normal"),
                ("terminate", "a", "shutdown"),
            ]

    run(body)


def test_sup_50_all_significant(run):
    async def body():
        children = [
            probe("a"),
            probe("s", TRANSIENT, significant=True),
            probe("t", TEMPORARY, significant=True),
        ]
        async with supervisor(children, auto_shutdown="all_significant") as sup:
            cast(await pid_of(sup, "t"), "bad")
            await until(lambda: _without(sup, "t"))
            assert alive(sup)
            cast(await pid_of(sup, "s"), "normal")
            assert await exit_of(sup) == "shutdown"

    run(body)


async def _without(sup, id):
    return id not in await pids(sup)


def test_sup_50_terminate_child_is_no_reason(run):
    async def body():
        children = [probe("s", TRANSIENT, significant=True)]
        async with supervisor(children, auto_shutdown="any_significant") as sup:
            await Supervisor.terminate_child(sup, "s")
            assert await pids(sup) == {"s": None}

    run(body)


def test_sup_51_bad_combinations(run):
    with pytest.raises(InvalidChildSpec, match="bad_combination"):
        ChildSpec("x", (Slow, (), {}), significant=True)

    async def body():
        trap_exit()
        spec = probe("s", TRANSIENT, significant=True)
        with pytest.raises(StartError) as caught:
            await Supervisor.start_link([spec])
        assert isinstance(caught.value.reason, BadSpec)
        assert "bad_combination" in caught.value.reason.cause

    run(body)


def test_calling_from_a_plain_handler_is_an_error(run):
    async def body():
        async with supervisor([Plain.spec(id="p")]) as sup:
            assert await call(await pid_of(sup, "p"), sup) == "BlockingCall"

    run(body)


class Plain(GenServer):
    def handle_call(self, request, caller):
        try:
            Supervisor.which_children(request)
        except BlockingCall as error:
            return type(error).__name__


def test_nobody_there(run):
    async def body():
        with pytest.raises(NoProc):
            await Supervisor.which_children("no such supervisor")

    run(body)
