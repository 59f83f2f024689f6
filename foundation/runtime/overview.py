"""One look at one node that shows the whole cluster: bounded facts of hosts, nodes and the rest.

    tool ── Look ──▶ control host ── ("ov_node", …) ──▶ control hosts of the other nodes
                          │                                       │
                     ("ov_host", …)                          ("ov_host", …)
                          ▼                                       ▼
                     its own hosts                           their own hosts

Each asks, waits, and answers with what came in time and who did not answer. What an upper floor
knows it adds as a *part*: of each host (``HOST_PARTS``), or of all, as the node that was asked
sees it (``WHOLE_PARTS``): a function of the number of rows that it may return, which answers at
once, with plain data. What takes longer, or runs code of users, belongs in a server: a tool may
have the control host ask servers along with the rest.

Invariants:
    O1  Each request is answered once, ``NODE_SECONDS`` after it at the latest.
    O2  An answer is of a size that depends on the numbers of hosts and rows, not of processes.
    O3  No host works on it for longer than a portion of ``PORTION`` processes at a time.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from foundation.errors import CallExit
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Process
from foundation.kernel.reports import Notice
from foundation.runtime.inspect import resident_bytes
from foundation.runtime.messages import Look
from foundation.runtime.survey import Survey

HOST_SECONDS = 1.0  # the control host waits for the other hosts of its node
NODE_SECONDS = 1.5  # ... and, when it was asked by a tool, for those of other nodes
PORTION = 4000  # processes that are looked at in one turn: some 5 ms
ROWS_MOST = 1000  # of one host
MATCH_MOST = 200  # characters
HOST_PARTS = "overview host"  # where a kernel keeps the parts: name -> function(rows)
WHOLE_PARTS = "overview whole"

_SERVER = "server"  # marks who is waited for and is no host

Part = Callable[[int], Any]
Told = Callable[[dict[str, Any]], None]


def add_part(kernel: Kernel, name: str, part: Part, *, whole: bool = False) -> None:
    """Have overviews contain what *part* returns, under *name*.

    Args:
        kernel: of the host; for *whole*: of the control host.
        name: of the part; one of that name is replaced.
        part: gets the number of rows that it may return; returns plain data, at once.
        whole: it is a fact of the cluster rather than of this host.
    """
    kernel.tables.setdefault(WHOLE_PARTS if whole else HOST_PARTS, {})[name] = part


class Gathering:
    """Answers that are waited for. ``done`` is called once."""

    def __init__(self, waiting: list[Any], done: Callable[[Gathering], None]) -> None:
        self.waiting = dict.fromkeys(waiting)
        self.found: dict[Any, dict[str, Any]] = {}
        self._done: Callable[[Gathering], None] | None = done

    def answered(self, who: Any, found: dict[str, Any]) -> None:
        """*who* has answered; what comes twice or unasked is dropped."""
        if who in self.waiting and self._done is not None:
            del self.waiting[who]
            self.found[who] = found
            self.look()

    def look(self) -> None:
        """Finish if nothing is missing."""
        if not self.waiting:
            self.finish()

    def finish(self) -> None:
        """Answer with what there is."""
        done, self._done = self._done, None
        if done is not None:
            done(self)


class _Asked:
    """Sink of a call of a server."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Take the reply, or the error that the caller would get."""
        self._told({"ok": ok, "value": value if ok else str(value)})


class Overlook:
    """Answers and gathers overviews; one in each host."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._born = kernel.driver.now()
        self._number = 0
        self._open: dict[int, Gathering] = {}
        handlers = kernel.remote.handlers
        handlers["ov_host"] = self._on_host
        handlers["ov_node"] = self._on_node
        handlers["ov_told"] = self._on_told

    # This host

    def survey(self, rows: int, match: str, told: Told) -> None:
        """Describe this host, a portion of its processes at a time (O3)."""
        survey = Survey(rows, match)
        self._continue(survey, list(self._kernel.procs.values()), told)

    def _continue(self, survey: Survey, processes: list[Process], told: Told) -> None:
        survey.take(processes[:PORTION])
        rest = processes[PORTION:]
        if rest:
            self._kernel.later(0.0, self._continue, survey, rest, told)
        else:
            parts = self._parts(HOST_PARTS, survey.rows)
            told({**self._facts(), **survey.result(), "parts": parts})

    def _facts(self) -> dict[str, Any]:
        kernel = self._kernel
        return {
            "host": kernel.address,
            "incarnation": kernel.incarnation,
            "os_pid": os.getpid(),
            "up_seconds": kernel.driver.now() - self._born,
            "rss_bytes": resident_bytes(),
            "cpu_seconds": time.process_time(),
            "slices": kernel.slices,
            "frames_in": kernel.remote.frames_in,
            "frames_out": kernel.remote.frames_out,
        }

    def _parts(self, kind: str, rows: int) -> dict[str, Any]:
        found = {}
        for name, part in self._kernel.tables.get(kind, {}).items():
            try:
                found[name] = part(rows)
            except Exception as error:  # the others are no worse for it
                found[name] = {"error": repr(error)[:200]}
                self._kernel.driver.report(
                    Notice("error", f"part {name!r} of the overview failed: {error!r}")
                )
        return found

    # This node

    def gather_node(self, rows: int, match: str, told: Told) -> None:
        """Describe this node: ask all its hosts."""
        rows, match = max(1, min(rows, ROWS_MOST)), match[:MATCH_MOST]
        here = self._kernel.address
        hosts = [here, *self._kernel.remote.neighbours]

        def done(gathering: Gathering) -> None:
            hosts = {host: gathering.found[host] for host in sorted(gathering.found)}
            missing = sorted(gathering.waiting)
            told({"node": _node(here), **_machine(), "hosts": hosts, "missing": missing})

        gathering = self._gather("ov_host", hosts, HOST_SECONDS, (rows, match), done)
        self.survey(rows, match, lambda found: gathering.answered(here, found))

    def gather_whole(self, look: Look, told: Told) -> None:
        """Describe the cluster, or this node and what it sees of the cluster.

        Args:
            look: what is asked for.
            told: gets ``{"asked", "nodes": {name: as gather_node}, "missing": [names], "parts",
                "answers": {label: {"ok": whether there is a reply, "value": it, or why not}}}``.
        """
        here = self._kernel.address
        others = self._other_controls() if look.whole else []
        servers = [(_SERVER, label) for label in look.servers]

        def done(gathering: Gathering) -> None:
            found = gathering.found
            hosts = sorted(host for host in found if isinstance(host, str))
            nodes = {_node(host): found[host] for host in hosts}
            missing = sorted(_node(host) for host in gathering.waiting if isinstance(host, str))
            late = {"ok": False, "value": "timeout"}
            told(
                {
                    "asked": _node(here),
                    "nodes": nodes,
                    "missing": missing,
                    "parts": self._parts(WHOLE_PARTS, max(1, min(look.rows, ROWS_MOST))),
                    "answers": {key[1]: found.get(key, late) for key in servers},
                }
            )

        asked = (look.rows, look.match)
        everybody = [here, *others, *servers]
        gathering = self._gather("ov_node", everybody, NODE_SECONDS, asked, done)

        def here_told(found: dict[str, Any]) -> None:
            gathering.answered(here, found)
            for key in servers:  # only now: what is looked at does not show that it is looked at
                self._ask(*look.servers[key[1]], partial(gathering.answered, key))

        self.gather_node(*asked, here_told)

    def _ask(self, server: Any, request: Any, told: Told) -> None:
        kernel = self._kernel
        try:
            kernel.request(_Asked(told), kernel.outside, server, request)
        except CallExit as error:  # nobody is there
            told({"ok": False, "value": str(error.reason)})

    def _other_controls(self) -> list[str]:
        remote = self._kernel.remote
        foreign = [host for host in remote.peers if host not in remote.neighbours]
        return [host for host in foreign if host.partition("/")[2] == "control"]

    def _gather(
        self,
        operation: str,
        who: list[Any],
        seconds: float,
        args: tuple[Any, ...],
        done: Callable[[Gathering], None],
    ) -> Gathering:
        """Ask the hosts among *who*, but for this one; the caller asks the others."""
        self._number += 1
        number = self._number

        def finished(gathering: Gathering) -> None:
            self._open.pop(number, None)
            timer.cancel()
            done(gathering)

        gathering = self._open[number] = Gathering(who, finished)
        timer = self._kernel.later(seconds, gathering.finish)
        for host in who:
            if isinstance(host, str) and host != self._kernel.address:
                self._kernel.remote.op(host, (operation, number, *args))
        self._kernel.wake()
        return gathering

    # What other hosts say

    def _on_host(self, host: str, number: int, rows: int, match: str) -> None:
        op = self._kernel.remote.op
        self.survey(rows, match, lambda found: op(host, ("ov_told", number, found)))

    def _on_node(self, host: str, number: int, rows: int, match: str) -> None:
        op = self._kernel.remote.op
        self.gather_node(rows, match, lambda found: op(host, ("ov_told", number, found)))

    def _on_told(self, host: str, number: int, found: dict[str, Any]) -> None:
        gathering = self._open.get(number)
        if gathering is not None:
            gathering.answered(host, found)


def _node(host: str) -> str:
    return host.partition("/")[0]


def _machine() -> dict[str, Any]:
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 0.0
    return {
        "machine": platform.node(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "cpus": os.cpu_count() or 1,
        "load": load,
    }
