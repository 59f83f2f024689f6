"""The public API as a user writes it; ``mypy --strict`` checks that the types are as said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, assert_type

from foundation.otp import (
    Agent,
    Call,
    Caller,
    CallExit,
    CallTimeout,
    ChildSpec,
    Continue,
    Down,
    DynamicSupervisor,
    Exit,
    Exited,
    ExitMsg,
    GenServer,
    Ignore,
    NoReply,
    Ok,
    Pid,
    Ref,
    Reply,
    Result,
    Stop,
    Supervisor,
    Task,
    TaskSupervisor,
    Timer,
    call,
    cast,
    demonitor,
    link,
    me,
    monitor,
    receive,
    reply,
    send,
    send_after,
    spawn,
    spawn_monitor,
    stop,
    sys,
    trap_exit,
    unlink,
    whereis,
)


@dataclass(frozen=True, slots=True)
class Deposit(Call[int]):
    """Put money in; the reply is the balance."""

    amount: int


@dataclass(frozen=True)
class History(Call[list[str]]):
    """What happened."""

    last: int = 10


class Account(GenServer, restart="transient", shutdown=10.0):
    """Typed requests, ``def`` callbacks."""

    def init(self, opening: int = 0, *, owner: str = "") -> Ok:
        self.balance = opening
        self.history: list[str] = [owner]
        self.waiting: list[Caller] = []
        return Ok(timeout=60.0)

    def handle_call(self, request: Deposit | History | str, caller: Caller) -> object:
        match request:
            case Deposit(amount):
                self.balance += amount
                return self.balance
            case History(last):
                return self.history[-last:]
            case "wait":
                self.waiting.append(caller)
                return NoReply(timeout=5.0)
            case "audit":
                return Reply("started", continue_="audit")
            case "close":
                return Stop("normal", reply="bye")
            case _:
                return super().handle_call(request, caller)

    def handle_cast(self, request: str) -> Stop | None:
        return Stop("asked") if request == "stop" else None

    def handle_info(self, message: Down | ExitMsg | object) -> NoReply | None:
        if isinstance(message, Down):
            return Continue(message.reason)
        return None

    def handle_continue(self, argument: str) -> None:
        for caller in self.waiting:
            reply(caller, argument)

    def terminate(self, reason: object) -> None:
        self.history.append(str(reason))

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return {**status, "balance": "***"}


class Teller(GenServer):
    """``async def`` callbacks."""

    async def init(self, account: Pid) -> Ignore | None:
        trap_exit()
        self.account = account
        link(account)
        return None

    async def handle_call(self, request: int, caller: Caller) -> int:
        await asyncio.sleep(0.1)
        return await call(self.account, Deposit(request), timeout=1.0)


class Bank(Supervisor):
    """A supervision tree."""

    strategy = "one_for_one"

    def init(self) -> list[ChildSpec]:
        return [
            Account.spec(100, name="ann"),
            Account.spec(name="bob", restart="transient"),
            DynamicSupervisor.spec(name="accounts"),
            TaskSupervisor.spec(name="tasks"),
            Agent.spec(dict, name="cache"),
        ]


async def calls() -> None:
    account = await Account.start_link(5, owner="ann", name="a", timeout=1.0)
    assert_type(account, Pid)
    assert_type(await call(account, Deposit(5)), int)
    assert_type(await call("ann", History()), list[str])
    assert_type(await call(account, ("plain", 1)), Any)
    total, history = await asyncio.gather(call(account, Deposit(1)), call(account, History(1)))
    assert_type(total, int)
    assert_type(history, list[str])
    cast(account, "stop")
    try:
        await call(account, Deposit(1), timeout=None)
    except CallTimeout as error:
        print(error.timeout, error.definite)
    except CallExit as error:
        raise Exit(error.reason) from None
    await stop(account, "shutdown", timeout=5.0)
    pid, ref = await Account.start_monitor(name="b")
    assert_type(pid, Pid)
    assert_type(ref, Ref)


async def processes() -> None:
    async def body(n: int) -> None:
        send(me(), n)

    pid = spawn(body, 3)
    other, ref = spawn_monitor(body, 4)
    assert_type(pid, Pid)
    assert_type(monitor(other), Ref)
    assert_type(whereis("ann"), Pid | None)
    demonitor(ref, flush=True)
    unlink(pid)
    timer = send_after(1.0, me(), "tick")
    assert_type(timer, Timer)
    timer.cancel()
    await receive(lambda message: message == "tick", timeout=2.0)


async def double(n: int) -> int:
    return n * 2


def half(n: int) -> float:
    return n / 2


async def tasks() -> None:
    task = Task.run(double, 4)
    assert_type(task, Task[int])
    assert_type(await task, int)
    assert_type(await Task.run(half, 4, host="spread"), float)
    assert_type(await Task.completed("x").result(timeout=None), str)
    assert_type(await task.yield_(1.0), Result[int] | Exited | None)
    assert_type(await task.shutdown("brutal_kill"), Result[int] | Exited | None)
    assert_type(await Task.await_many([Task.run(half, 1), Task.run(half, 2)]), list[float])
    supervised = await TaskSupervisor.run_nolink("tasks", double, 4)
    match await supervised.yield_():
        case Result(value):
            assert_type(value, int)
        case Exited(reason):
            print(reason)
        case None:
            supervised.ignore()
    async for outcome in Task.async_stream(range(9), double, max_concurrency=3):
        print(outcome)
    async with TaskSupervisor.stream_nolink("tasks", numbers(), half, ordered=False) as stream:
        async for outcome in stream:
            if isinstance(outcome, Exited):
                break
    assert_type(await TaskSupervisor.start_child("tasks", double, 1), Pid)


async def numbers() -> AsyncIterator[int]:
    yield 1


async def agents() -> None:
    agent = await Agent.start_link(lambda: {"a": 1}, name="agent")
    await Agent.update(agent, lambda state: {**state, "b": 2})
    assert_type(await Agent.get(agent, len), Any)
    await Agent.get_and_update(agent, lambda state: (state, {}))
    Agent.cast("agent", lambda state: state)
    await Agent.stop(agent)


async def system() -> None:
    state = await sys.get_state("ann")
    assert_type(state, dict[str, Any])
    await sys.replace_state("ann", lambda state: {**state, "balance": 0})
    await sys.suspend("ann")
    await sys.migrate("ann", "1.0")
    await sys.resume("ann")
    await sys.statistics("ann", "on")
    await sys.log("ann", 10)
    for event in await sys.log("ann", "get") or []:
        print(event.at, event.what, event.text)
    await sys.trace("ann", True)


def wrong_types_are_found() -> None:
    """Each of these lines is an error, so an unneeded ``ignore`` fails the check."""
    Deposit("five")  # type: ignore[arg-type]
    sys.statistics("ann", "maybe")  # type: ignore[arg-type,unused-coroutine]
    Task.run("not a function")  # type: ignore[call-overload]
    call("ann", Deposit(1), timeout="soon")  # type: ignore[call-overload]
    send_after("soon", me(), "tick")  # type: ignore[arg-type]
