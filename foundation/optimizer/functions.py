"""What processes ask of the optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from foundation.cluster.api import cluster_of
from foundation.cluster.live_settings import SettingState
from foundation.cluster.supervisor import await_child, whereis_child
from foundation.facade import send_through
from foundation.kernel.ops import current
from foundation.optimizer.messages import (
    GetOptions,
    History,
    ReadSettings,
    Recommendations,
    RunOnce,
    SetOptions,
)
from foundation.optimizer.values import SERVER, SINGLETON, Options, Recommendation
from foundation.otp import Call, call, multi_call
from foundation.process_manager import SUPERVISOR, via

R = TypeVar("R")

TIMEOUT = 30.0  # seconds; a cycle measures the whole cluster


async def _ask(request: Call[R]) -> R:
    """Call the singleton; at the start of a node wait until it runs."""
    if whereis_child(SUPERVISOR, SINGLETON) is None:
        await send_through(await_child, SUPERVISOR, SINGLETON, timeout=TIMEOUT)
    answer: R = await send_through(call, via(SINGLETON), request, timeout=TIMEOUT)
    return answer


async def run_once() -> list[Recommendation]:
    """Run a cycle now; return what is recommended.

    In mode ``"auto"`` it may apply a change, as any cycle; in mode ``"off"`` it only looks. It
    counts as a cycle when the one before is ``Options.gap`` ago.

    Raises:
        TimeoutError: the optimizer does not run, or is busy.
        NoProc, NoConnection: it has just gone.

    What this does:
        Calls the singleton ``"foundation.optimizer"``, wherever it is; where it does not run yet
        waits for it first (``await_child``).

    Equivalent direct messages::

        from foundation.optimizer import RunOnce
        from foundation.otp import call
        from foundation.process_manager import SUPERVISOR, via
        await call(via("foundation.optimizer"), RunOnce(), timeout=30)

    When to bypass:
        To try a rule without the optimizer: ``rule(await cluster_metrics(), {})``.
    """
    return await _ask(RunOnce())


async def recommendations() -> list[Recommendation]:
    """Return what the latest cycle recommended, with what came of it.

    Raises: as ``run_once``.

    What this does:
        Calls the singleton ``"foundation.optimizer"``, as ``run_once``.

    Equivalent direct messages::

        from foundation.optimizer import Recommendations
        from foundation.otp import call
        from foundation.process_manager import SUPERVISOR, via
        await call(via("foundation.optimizer"), Recommendations(), timeout=30)

    When to bypass:
        Any time: this is that call.
    """
    return await _ask(Recommendations())


async def history() -> list[Recommendation]:
    """Return what was recommended, applied, kept and reverted, the oldest first; up to 200.

    Rules that failed stand there, too (``outcome`` begins with ``"failed"``). Nodes remember the
    latest 50 for its next life, as with ``configure``; other than these a crash loses.

    Raises: as ``run_once``.

    What this does:
        Calls the singleton ``"foundation.optimizer"``, as ``run_once``.

    Equivalent direct messages::

        from foundation.optimizer import History
        from foundation.otp import call
        from foundation.process_manager import SUPERVISOR, via
        await call(via("foundation.optimizer"), History(), timeout=30)

    When to bypass:
        Any time: this is that call.
    """
    return await _ask(History())


async def options() -> Options:
    """Return how the optimizer works now.

    Raises: as ``run_once``.

    What this does:
        Calls the singleton ``"foundation.optimizer"``, as ``run_once``.

    Equivalent direct messages::

        from foundation.optimizer import GetOptions
        from foundation.otp import call
        from foundation.process_manager import SUPERVISOR, via
        await call(via("foundation.optimizer"), GetOptions(), timeout=30)

    When to bypass:
        Any time: this is that call.
    """
    return await _ask(GetOptions())


async def configure(**changes: Any) -> Options:
    """Change how the optimizer works, on whichever node it is: ``configure(mode="auto")``.

    The nodes remember it for its next life, for as long as one of them lives.

    Args:
        **changes: fields of ``Options``.

    Returns:
        All options.

    Raises:
        TypeError, ValueError: a change is wrong; nothing is changed.
        others as ``run_once``.

    What this does:
        Asks the singleton ``"foundation.optimizer"`` for its options (``call``), and tells it the
        changed ones; it has the server of each node remember them.

    Equivalent direct messages::

        from dataclasses import replace
        from foundation.optimizer import GetOptions, SetOptions
        from foundation.otp import call
        from foundation.process_manager import SUPERVISOR, via
        optimizer = via("foundation.optimizer")
        now = await call(optimizer, GetOptions(), timeout=30)
        await call(optimizer, SetOptions(replace(now, **changes)), timeout=30)

    When to bypass:
        To start with other options: the settings ``optimizer``, ``optimizer_interval`` and
        ``optimizer_modules``, as ``FOUNDATION_OPTIMIZER=auto``; for all of them
        ``foundation.entry.Facades`` in the tree of a node of a cluster.
    """
    wanted = replace(await options(), **changes)
    return await _ask(SetOptions(wanted))


async def live_settings(timeout: float = 5.0) -> dict[str, dict[str, SettingState]]:
    """Return the live settings of all nodes: by node, then by name.

    Args:
        timeout: seconds to wait; nodes that have not answered are left out.

    Raises:
        NotInCluster, NotInProcess: as ``foundation.cluster.view``.

    What this does:
        Calls the server ``"foundation.optimizer"`` of each node (``multi_call``).

    Equivalent direct messages::

        from foundation.cluster import view
        from foundation.optimizer import ReadSettings
        from foundation.otp import multi_call
        servers = [("foundation.optimizer", node) for node in view().names]
        answers, missing = await multi_call(servers, ReadSettings(), timeout=timeout)
        {server[1]: settings for server, settings in answers}

    When to bypass:
        For this node: ``foundation.cluster.live_settings.read_settings``; ``change_setting`` there
        changes one.
    """
    servers = [(SERVER, node) for node in cluster_of(current()).view.names]
    answers, _ = await send_through(multi_call, servers, ReadSettings(), timeout=timeout)
    return {server[1]: states for server, states in answers if isinstance(states, dict)}
