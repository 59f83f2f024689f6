"""AGENT-01 to AGENT-07."""

from __future__ import annotations

import asyncio

import pytest

from foundation.otp import (
    Agent,
    AlreadyStarted,
    BadReturn,
    CallExit,
    CallTimeout,
    Down,
    NoProc,
    NoReply,
    StartError,
    Stop,
    Supervisor,
    call,
    cast,
    exit,
    me,
    monitor,
    process_info,
    receive,
    spawn_monitor,
    sys,
    trap_exit,
)
from tests.otp.gskit import ends, nothing


def fail(*args):
    raise ValueError("boom")


def same(state):
    return state


def add(state, n):
    return state + n


class Tree(Supervisor):
    def init(self):
        return [Agent.spec(dict, name="cache")]


def test_agent_01_start(run):
    async def body():
        log = me()
        pid = await Agent.start_link(lambda: {"pid": me()}, name="agent")
        assert pid in process_info(log)["links"]
        assert await Agent.get("agent", lambda s: s["pid"]) == pid
        with pytest.raises(AlreadyStarted):
            await Agent.start_link(dict, name="agent")
        with pytest.raises(StartError, match="boom"):
            await Agent.start(fail)
        died, ref = spawn_monitor(Agent.start_link, fail)
        down = await receive()
        assert (down.object, down.ref, down.reason.message) == (died, ref, "boom")
        with pytest.raises(StartError) as caught:
            await Agent.start(asyncio.sleep, 3600, timeout=0.02)
        assert caught.value.reason == "timeout"
        await Agent.stop("agent")
        with pytest.raises(NoProc):
            await Agent.get("agent", same)

    run(body)


def test_agent_01_spec(run):
    async def body():
        assert Agent.spec(dict).id is Agent
        assert Agent.spec(dict, name="a", restart="transient").restart == "transient"
        await Tree.start_link()
        await Agent.update("cache", lambda s: {**s, "a": 1})
        assert await Agent.get("cache", lambda s: s["a"]) == 1

    run(body)


def test_agent_02_get_update_get_and_update(run):
    async def body():
        agent = await Agent.start_link(lambda: 1)
        assert await Agent.get(agent, same) == 1
        assert await Agent.update(agent, lambda s: s + 1) is None
        assert await Agent.get_and_update(agent, lambda s: (s, s * 10)) == 2
        assert await Agent.get(agent, same) == 20
        assert await Agent.get(agent, lambda s: me()) == agent
        for odd in (None, Stop("x"), NoReply(), (1, 2)):
            await Agent.update(agent, lambda s, odd=odd: odd)
            assert await Agent.get(agent, same) == odd
        assert await sys.get_state(agent) == {"state": (1, 2)}

    run(body)


def test_agent_02_async_functions_run_one_at_a_time(run):
    async def slowly(state, n):
        await asyncio.sleep(0.01)
        return state + n

    async def both(state):
        await asyncio.sleep(0)
        return state, 0

    async def begin():
        await asyncio.sleep(0)
        return 1

    async def body():
        agent = await Agent.start_link(begin)
        Agent.cast(agent, slowly, 1)
        await Agent.update(agent, slowly, 2)
        assert await Agent.get(agent, slowly, 100) == 104
        assert await Agent.get_and_update(agent, both) == 4
        assert await Agent.get(agent, same) == 0
        with pytest.raises(CallTimeout):
            await Agent.get(agent, slowly, 1, timeout=0.001)

    run(body)


def test_agent_03_casts_are_applied_in_order(run):
    async def body():
        agent = await Agent.start_link(list)
        for n in range(5):
            assert Agent.cast(agent, lambda s, n: [*s, n], n) is None
        assert await Agent.get(agent, same) == [0, 1, 2, 3, 4]
        Agent.cast("nobody", same)

    run(body)


@pytest.mark.parametrize("how", ["get", "update", "get_and_update", "cast"])
def test_agent_04_a_failing_function_crashes_the_agent(run, how):
    async def body():
        trap_exit()
        agent = await Agent.start_link(lambda: 1)
        if how == "cast":
            Agent.cast(agent, fail)
        else:
            with pytest.raises(CallExit, match="boom"):
                await getattr(Agent, how)(agent, fail)
        reason = await ends(agent)
        assert (reason.type, reason.message) == ("ValueError", "boom")
        with pytest.raises(NoProc):
            await Agent.get(agent, same)
        assert await nothing()

    run(body)


@pytest.mark.parametrize("value", [1, (1,), (1, 2, 3), [1, 2], None])
def test_agent_05_get_and_update_needs_a_pair(run, value):
    async def body():
        agent = await Agent.start(lambda: 1)
        ref = monitor(agent)
        with pytest.raises(CallExit) as caught:
            await Agent.get_and_update(agent, lambda s: value)
        assert caught.value.reason == BadReturn(repr(value), "get_and_update")
        assert await receive() == Down(ref, agent, caught.value.reason)

    run(body)


def test_agent_06_what_get_returns_is_a_copy(run):
    shared = [1]

    async def body():
        agent = await Agent.start_link(lambda: shared)
        got = await Agent.get(agent, same)
        got.append(2)
        shared.append(3)
        assert await Agent.get(agent, same) == [1]
        got = await Agent.get_and_update(agent, lambda s: (s, s))
        got.append(4)
        given = [5]
        await Agent.update(agent, lambda s, g: g, given)
        given.append(6)
        assert await Agent.get(agent, same) == [5]

    run(body)


def test_agent_07_functions_with_arguments(run):
    async def body():
        agent = await Agent.start_link(int, "40")
        await Agent.update(agent, add, 1)
        Agent.cast(agent, add, 1)
        assert await Agent.get(agent, add, 0) == 42
        assert await Agent.get_and_update(agent, divmod, 5) == 8
        assert await Agent.get(agent, same) == 2

    run(body)


def test_agent_refuses_other_requests(run):
    async def body():
        trap_exit()
        agent = await Agent.start_link(int)
        with pytest.raises(CallExit, match="has no handle_call"):
            await call(agent, "anything")
        agent = await Agent.start_link(int)
        cast(agent, "anything")
        await ends(agent)
        exit(agent, "late")

    run(body)
