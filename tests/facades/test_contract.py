"""Leaky by design: every facade function equals its direct messages (``contract.py``)."""

from __future__ import annotations

import asyncio
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, PACKAGES, SHOWN_BY_HAND
from contract import Case, nothing, run_block, run_facade

import foundation
from foundation.cluster.pubsub import broadcast
from foundation.facade import send_through, watching
from foundation.otp import Task, receive, send, spawn
from foundation.testing.cluster_sim import ClusterSimulation


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_function_gives_what_its_direct_messages_give(case: Case) -> None:
    by_facade, _ = run_facade(case)
    assert by_facade == run_block(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.left is not nothing], ids=str)
def test_it_does_so_where_a_size_is_expected_too(case: Case) -> None:
    (given, left), _ = run_facade(case, size=2)
    assert (given, left) == run_block(case, size=2)
    (_, elsewhere), _ = run_facade(case)
    if "on_minority" in inspect.signature(case.function).parameters:
        assert left != elsewhere  # its size decides what becomes of it in a minority


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_explain_shows_is_what_the_docstring_says(case: Case) -> None:
    _, called = run_facade(case)
    doc = case.function.__doc__ or ""
    assert called, f"explain() shows nothing of {case}"
    unsaid = [name for name in called if f"{name}(" not in doc and f"``{name}``" not in doc]
    assert not unsaid, f"{case} calls {unsaid}, which its docstring does not say"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_function_of_a_facade_has_a_case(package: ModuleType) -> None:
    tried = {case.function.__name__: None for case in CASES}
    untried = [
        name
        for name in package.__all__
        if _is_facade_function(package, name) and name not in tried and name not in SHOWN_BY_HAND
    ]
    assert not untried


def _is_facade_function(package: ModuleType, name: str) -> bool:
    found = getattr(package, name)
    own = getattr(found, "__module__", "").startswith(f"{package.__name__}.")
    alias = getattr(found, "__name__", name) != name
    return callable(found) and not isinstance(found, type) and own and not alias


def test_a_plan_collects_steps_of_its_block_only_and_prints_them_as_calls() -> None:
    with ClusterSimulation(1, nodes=1) as cluster:
        cluster.form()

        async def body() -> Any:
            send_through(broadcast, "t", 0)
            with foundation.explain() as outer:
                send_through(broadcast, "t", 1)
                with foundation.explain() as inner:
                    send_through(broadcast, "t", 2, name="other")
            send_through(broadcast, "t", 3)
            return str(outer), str(inner), next(iter(inner)).path

        assert cluster.run("a", body) == (
            "broadcast('t', 1)\nbroadcast('t', 2, name='other')",
            "broadcast('t', 2, name='other')",
            "foundation.cluster.pubsub.broadcast",
        )


def test_a_plan_has_what_the_tasks_and_processes_send_that_its_block_starts() -> None:
    async def speak(message: Any) -> None:
        send_through(broadcast, "t", message)

    async def through_another(message: Any) -> None:
        await Task.run(speak, message)

    async def when_told() -> None:
        await speak(await receive())

    async def body() -> tuple[str, str, int, int]:
        before = spawn(when_told)
        with foundation.explain() as outer:
            await asyncio.create_task(speak("asyncio"))
            with foundation.explain() as inner:
                await Task.run(speak, "task")
            await Task.run(through_another, "a task of a task")
            late = spawn(when_told)
            send(before, "begun before the block")
            await asyncio.sleep(0.1)
        counted = len(outer)
        send(late, "after the block")
        await asyncio.sleep(0.1)
        return str(outer), str(inner), len(outer) - counted, len(watching.plans)

    async def of_another(plans: list[Any]) -> None:
        with foundation.explain() as plan:
            plans.append(plan)
            await asyncio.sleep(1)

    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()
        others: list[Any] = []
        cluster.spawn("a", of_another, others)
        outer, inner, later, count = cluster.run("a", body)
        assert outer.splitlines() == [
            "broadcast('t', 'asyncio')",
            "broadcast('t', 'task')",
            "broadcast('t', 'a task of a task')",
        ]
        assert inner == "broadcast('t', 'task')"
        assert (later, count) == (0, 1)
        assert len(others[0]) == 0
