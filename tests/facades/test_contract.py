"""Leaky by design: every facade function equals its direct messages (``contract.py``)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, PACKAGES, SHOWN_BY_HAND
from contract import Case, run_block, run_facade

import foundation
from foundation.cluster.pubsub import broadcast
from foundation.facade import send_through
from foundation.testing.cluster_sim import ClusterSimulation


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_function_gives_what_its_direct_messages_give(case: Case) -> None:
    by_facade, _ = run_facade(case)
    assert by_facade == run_block(case)


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
