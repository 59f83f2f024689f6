"""``foundation trace`` and ``foundation replay``."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import logging
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from foundation.cli.arguments import EXIT_FAILED, EXIT_OK, Usage, examples, read_cookie
from foundation.errors import NodeError
from foundation.runtime.attach import Attached
from foundation.runtime.messages import Answer, Envelope

Ask = Callable[[Any, float], Awaitable[Any]]

ASK_SECONDS = 12.0  # a node has to start or stop a trace of the cluster
COLLECT_SECONDS = 15.0
LIKE = 3  # names that are like an unknown one
LOOK_SECONDS = 0.2  # between looks at how many events there are


def trace(
    *,
    node: str | None = None,
    cluster: str | None = None,
    cookie_file: Path | None = None,
    seconds: float = 3.0,
    events: int | None = None,
    of: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    internal: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    sample: float = 1.0,
    limit: int = 200,
    width: int | None = None,
    mermaid: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Trace the messages of the cluster that runs on this machine, and draw who sent what to whom.

    Until the time is over, there are enough events, or Ctrl-C. What processes of Foundation itself
    tell each other is left out. Ends with exit code 1 when a host did not answer or had to drop
    events, or when there is nobody of a name that --of gives; what there is is printed all the
    same.

    Args:
        node: ask this node of this machine; by default any of the cluster.
        cluster: its name, when nodes of several clusters run on this machine.
        cookie_file: a file with the shared secret, when it is not this user's.
        seconds: how long.
        events: end when so many have been recorded.
        of: only messages from or to the process of this name; may be given several times.
        only: trace only this node; may be given several times.
        internal: what processes of Foundation tell each other, too.
        sample: the share of causal chains to record, from 0 to 1.
        limit: draw so many events.
        width: characters to a line; default: of the terminal.
        mermaid: print a Mermaid sequence diagram instead.
        as_json: print everything as JSON instead.
    """
    if not seconds > 0:
        raise Usage(f"--seconds must be greater than 0, got {seconds}")
    if not 0 <= sample <= 1:
        raise Usage(f"--sample must be from 0 to 1, got {sample}")
    from foundation.scope import APPLICATION

    for name, number in (("events", events), ("limit", limit), ("width", width)):
        if number is not None and number < 1:
            raise Usage(f"--{name} must be 1 or more, got {number}")
    logging.getLogger("foundation").setLevel(logging.ERROR)
    wanted: Any = list(of) or (None if internal else APPLICATION)
    options = {"of": wanted, "nodes": only or None, "sample": sample}
    where = (node, cluster, read_cookie(cookie_file))
    report, unknown = asyncio.run(_trace(where, of, options, seconds, events))
    if as_json:
        print(json.dumps(report.as_json()))
    elif mermaid:
        print(report.mermaid(limit=limit))
    else:
        columns = width or shutil.get_terminal_size((100, 24)).columns
        print(report.diagram(columns, limit=limit))
    if not as_json:
        print(report.summary(), file=sys.stderr if mermaid else sys.stdout)
    absent = [name for name in unknown if name not in report.labels.values()]
    for name in absent:
        print(f"foundation: nobody was called {name!r}", file=sys.stderr)
    return EXIT_FAILED if absent or not report.complete else EXIT_OK


async def _trace(
    where: tuple[str | None, str | None, bytes | None],
    of: tuple[str, ...],
    options: dict[str, Any],
    seconds: float,
    events: int | None,
) -> tuple[Any, list[str]]:
    """Return the report, and the names in *of* that no host knew at the beginning."""
    from foundation.observer.watch import find
    from foundation.scope import CollectTrace, StartTrace, StopTrace

    async with await find(*where) as watch:
        entry = watch.entry
        unknown = [name for name in of if not await _is_known(watch, name)]
    async with Attached(entry, where[2]) as attached:
        ask = attached.ask
        start = StartTrace("foundation trace", seconds=seconds + 60, **options)
        running = await _ask(ask, start, ASK_SECONDS)
        what = f"tracing {len(running.hosts)} hosts of {len(running.nodes)} nodes"
        print(f"{what} for {seconds:g} s; Ctrl-C ends it now", file=sys.stderr, flush=True)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C: show what there is
                await _wait(ask, running, seconds, events)
        finally:
            await _ask(ask, StopTrace(running), ASK_SECONDS)
        collect = CollectTrace(running, COLLECT_SECONDS)
        return await _ask(ask, collect, COLLECT_SECONDS + 2), unknown


async def _is_known(watch: Any, name: str) -> bool:
    """Whether a host knows a process called *name*; if not, say so, and what is like it."""
    rows = [row for host in _hosts(await watch.ask(name)) for row in host["processes"]]
    if any(row["name"] == name for row in rows):
        return True
    rows += [row for host in _hosts(await watch.ask()) for row in host["processes"]]
    names = sorted({row["name"] for row in rows if row["name"] is not None})
    inside = [each for each in names if name.lower() in each.lower()]
    like = [*difflib.get_close_matches(name, names, LIKE), *inside][:LIKE]
    more = f"; like it: {', '.join(dict.fromkeys(like))}" if like else ""
    print(f"foundation: no host knows the name {name!r}{more}", file=sys.stderr, flush=True)
    return False


def _hosts(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [host for node in found["nodes"].values() for host in node["hosts"].values()]


async def _wait(ask: Ask, running: Any, seconds: float, events: int | None) -> None:
    from foundation.scope import CountTrace

    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        await asyncio.sleep(left if events is None else min(left, LOOK_SECONDS))
        if events is not None and await _ask(ask, CountTrace(running), ASK_SECONDS) >= events:
            return


async def _ask(ask: Ask, request: Any, seconds: float) -> Any:
    """Have the scope server of the node serve *request*.

    Raises:
        NodeError: it could not.
        FoundationError: what the function of the same name raises.
    """
    from foundation.facade import Failed
    from foundation.scope import Door

    answer = await ask(Envelope(Door(), request), seconds)
    if not isinstance(answer, Answer) or not answer.ok:
        raise NodeError(f"the node could not serve {type(request).__name__}: {answer!r}")
    if isinstance(answer.value, Failed):
        raise answer.value.error
    return answer.value


def replay(
    file: Path,
    /,
    *,
    until: int | None = None,
    states: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Replay the recording of a server, and say whether it goes through the same states.

    Ends with exit code 1 when it does not. The file can run code, so replay only what you trust;
    run it in a directory where the server's module can be imported.

    Args:
        file: made by ``scope.record`` or ``scope.start_recorded``.
        until: end after the step of this number.
        states: print the state after each step.
        as_json: print the steps as JSON.
    """
    from foundation import scope

    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
    replayed = scope.replay(file)
    steps = []
    for step in replayed.steps():
        steps.append(_step(step))
        if not as_json:
            _print(step, states)
        if until is not None and step.number >= until:
            break
    found = replayed.divergence
    if as_json:
        text = None if found is None else str(found)
        print(json.dumps({"class": replayed.header.class_name, "steps": steps, "diverged": text}))
    elif found is not None:
        print(found)
    else:
        print(f"{replayed.header.class_name}: {len(steps)} steps, the same states as recorded")
    return EXIT_OK if found is None else EXIT_FAILED


def _print(step: Any, states: bool) -> None:
    print(step)
    for line in step.did:
        print(f"    {line}")
    if states:
        for name, value in step.state.items():
            print(f"    {name} = {_text(value)}")


def _step(step: Any) -> dict[str, Any]:
    return {
        "number": step.number,
        "kind": step.kind,
        "message": _text(step.message),
        "at": step.at,
        "did": list(step.did),
        "state": {name: _text(value) for name, value in step.state.items()},
        "end": step.end,
    }


def _text(value: Any) -> str:
    from foundation.scope.packing import plain_text

    return plain_text(value)


COMMANDS: tuple[tuple[Callable[..., int], str], ...] = (
    (
        trace,
        examples(
            "foundation trace",
            "foundation trace --seconds 10 --of shop --of stock",
            "foundation trace --events 50 --mermaid",
            "foundation trace --only shop-1 --internal --json",
        ),
    ),
    (
        replay,
        examples("foundation replay shop.rec", "foundation replay shop.rec --states --until 12"),
    ),
)
