"""Looking at a cluster again and again, from outside: which node to ask, whom when it is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from foundation.errors import NodeError
from foundation.observer.messages import SERVER, Metrics, Parts
from foundation.observer.picture import of_nodes, picture
from foundation.runtime import directory
from foundation.runtime.attach import Attached
from foundation.runtime.directory import Entry
from foundation.runtime.messages import Look, Looked

Raw = dict[str, Any]

ROWS_OF_ALL = 3000  # processes that the hosts describe together
ROWS_MOST, ROWS_LEAST = 200, 10  # of one host


class Watch:
    """Looks at a cluster through one of its nodes on this machine.

    Args:
        entry: the node to ask.
        cookie: its shared secret; None is this user's.
        only: show only these nodes of the cluster, wherever they run; all when empty.
    """

    def __init__(
        self, entry: Entry, cookie: bytes | None = None, *, only: Sequence[str] = ()
    ) -> None:
        self._cookie = cookie
        self._only = tuple(only)
        self._rows = ROWS_MOST // 2
        self._attached = Attached(entry, cookie)
        self.members: list[str] = [entry.name]  # as last seen

    @property
    def entry(self) -> Entry:
        """The node that is asked."""
        return self._attached.entry

    async def look(self, match: str = "") -> Raw:
        """Return the picture of now.

        Args:
            match: processes with this text in their name, class or pid come first.

        Raises:
            NodeError: the node has another cookie, or does not answer.
        """
        found = await self.ask(match)
        hosts = sum(len(node["hosts"]) for node in found["nodes"].values())
        self._rows = max(ROWS_LEAST, min(ROWS_MOST, ROWS_OF_ALL // max(1, hosts)))
        made = picture(found)
        self.members = [row["name"] for row in made["nodes"]]
        if not self._only:
            return made
        unknown = [name for name in self._only if name not in self.members]
        if unknown:
            raise NodeError(
                f"there is no node {unknown[0]!r}; the cluster has {', '.join(self.members)}"
            )
        return picture(of_nodes(found, self._only))

    async def ask(self, match: str = "") -> Raw:
        """Return what the control host answers, see ``Overlook.gather_whole``."""
        rows = self._rows
        alone = self._only == (self.entry.name,)
        look = Look(rows, match, not alone, {"facades": (SERVER, Parts(rows))})
        return _decoded(await self._asked(look))

    async def cluster(self) -> Raw | None:
        """Return what the node says of its cluster and of who is in it; None: it is alone.

        Raises:
            NodeError: as ``look``.
        """
        found: Raw | None = (await self._asked(Look(1, whole=False)))["parts"].get("cluster")
        return found

    async def metrics(self) -> str:
        """Return what the health monitor exports as Prometheus text; ``""`` when nothing is.

        Raises:
            NodeError: as ``look``.
        """
        found = await self._asked(Look(1, whole=False, servers={"metrics": (SERVER, Metrics())}))
        answer = found["answers"]["metrics"]
        return str(answer["value"]) if answer["ok"] else ""

    async def _asked(self, look: Look) -> Raw:
        answer = await self._attached.ask(look)
        if not isinstance(answer, Looked):
            raise NodeError(f"node {self.entry.name!r} answered with {answer!r}")
        return answer.found

    async def move_on(self) -> None:
        """Ask another node of the cluster from now on, if one runs on this machine.

        Raises:
            NodeError: none does that answers.
        """
        for entry in await asyncio.to_thread(directory.entries):
            if entry.name not in self.members or entry == self.entry:
                continue
            attached = Attached(entry, self._cookie)
            before, self._attached = self._attached, attached
            try:
                await self.ask()
            except NodeError:
                self._attached = before
                await attached.close()
            else:
                await before.close()
                return
        raise NodeError(f"no other node of {', '.join(self.members)} runs on this machine")

    async def close(self) -> None:
        """End the connection."""
        await self._attached.close()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def _decoded(found: Raw) -> Raw:
    answers = dict(found["answers"])
    answer = answers.get("facades")
    if answer is not None and answer["ok"]:
        answers["facades"] = {"ok": True, "value": json.loads(answer["value"])}
    return {**found, "answers": answers}


async def find(
    node: str | None = None,
    cluster: str | None = None,
    cookie: bytes | None = None,
    *,
    only: Sequence[str] = (),
) -> Watch:
    """Return a watch of the cluster that runs on this machine; any node of it will do.

    Args:
        node: ask this one, which runs on this machine.
        cluster: its name, when nodes of several clusters run here.
        cookie: the shared secret; None is this user's.
        only: show only these nodes, which may run elsewhere.

    Raises:
        NodeError: there is none, or there are several; or none answers.
    """
    entries = directory.entries()
    if node is not None or not entries:
        entries = [directory.find(node)]
    if len(entries) == 1 and cluster is None:
        return Watch(entries[0], cookie, only=only)
    seen, error = await _clusters(entries, cookie)
    chosen = [
        one
        for one in seen
        if (cluster is None or one[0] == cluster) and all(name in one[2] for name in only)
    ]
    if len(chosen) == 1:
        return Watch(chosen[0][1], cookie, only=only)
    if error is not None and not seen:
        raise error
    raise NodeError(_which(seen, cluster, only))


Seen = tuple[str | None, Entry, list[str]]  # name of a cluster, a node of it here, all its nodes


async def _clusters(
    entries: list[Entry], cookie: bytes | None
) -> tuple[list[Seen], NodeError | None]:
    """Return the clusters, and the last error."""
    seen: list[Seen] = []
    error = None
    for entry in entries:
        if any(entry.name in members for name, _, members in seen if name is not None):
            continue
        async with Watch(entry, cookie) as watch:
            try:
                made = await watch.look()
            except NodeError as failed:
                error = failed
                continue
        name = None if made["cluster"] is None else made["cluster"]["cluster"]
        seen.append((name, entry, watch.members))
    return seen, error


def _which(seen: list[Seen], cluster: str | None, only: Sequence[str]) -> str:
    """Say what there is to choose from."""
    shown = "; ".join(
        f"{'alone' if name is None else f'cluster {name!r}'}: {', '.join(members)}"
        for name, _, members in seen
    )
    unknown = [name for name in only if not any(name in members for _, _, members in seen)]
    if unknown:
        return f"there is no node {unknown[0]!r}; running: {shown}"
    if cluster is not None:
        return f"there is no single cluster {cluster!r}; running: {shown}"
    names = ", ".join(entry.name for _, entry, _ in seen)
    return (
        f"several nodes run: {names}, which are not one cluster ({shown}); choose one with "
        "--node NAME, or a cluster with --cluster NAME"
    )
