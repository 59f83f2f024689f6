"""Live views of replicas and partitions: they read this host's copy of what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.api import node
from foundation.cluster.supervisor import (
    await_children,
    eligible_nodes,
    terminate_child,
    whereis_child,
    which_children,
)
from foundation.facade import send_through
from foundation.kernel.values import Pid
from foundation.otp.partition_key import partition_index
from foundation.process_manager.values import SUPERVISOR, Managed, is_part


@dataclass(frozen=True)
class ReplicaSet(Mapping[str, Pid]):
    """The replicas of a name: one on each node that may run it. Use it inside processes.

    A mapping from nodes to the replicas that run there now; ``failed`` says why others do not.
    All but ``complete`` and ``stop`` is a look into this host's copy of what there is, by
    ``which_children("foundation.processes")``, and sends nothing.

    Attributes:
        name: as it was started.
        labels: that the nodes must have.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict, hash=False)

    def pids(self) -> dict[str, Pid]:
        """Return the running replicas, by node."""
        return {
            child.node: child.pid
            for child in which_children(SUPERVISOR)
            if child.id == self.name and child.status == "running" and child.node and child.pid
        }

    def __getitem__(self, node: str) -> Pid:
        return self.pids()[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self.pids())

    def __len__(self) -> int:
        return len(self.pids())

    @property
    def local(self) -> Pid | None:
        """The replica of this node; None: it has none now."""
        return self.pids().get(node())

    @property
    def nearest(self) -> Pid | None:
        """The replica of this node, or another when it has none; None: there is none."""
        return whereis_child(SUPERVISOR, self.name)

    def missing(self) -> list[str]:
        """Return the nodes that should run a replica and do not, sorted."""
        have = self.pids()
        return sorted(n for n in eligible_nodes(SUPERVISOR, self.labels) if n not in have)

    def failed(self) -> dict[str, str]:
        """Return why, by node, of replicas that failed too often and are tried again later."""
        return {
            child.node: child.reason
            for child in which_children(SUPERVISOR)
            if child.id == self.name and child.status == "quarantined" and child.node
        }

    async def complete(self, timeout: float = 30.0, *, at_least: int = 0) -> None:
        """Wait until each node that should run a replica does.

        A node should once its process manager has started, a moment after it has joined.

        Args:
            timeout: seconds to wait.
            at_least: so many nodes, too, however many there are now.

        Raises:
            TimeoutError: some do not; it names them, and why where that is known.

        What this does:
            Waits for changes of the supervisor's table in this host; sends nothing.

        Equivalent direct messages::

            from foundation.cluster.supervisor import await_children

            def whole():
                return not self.missing() and len(self) >= at_least

            await await_children("foundation.processes", whole, timeout=timeout)
            None

        When to bypass:
            To wait for something else: ``await_children`` with a condition of your own.
        """
        try:
            await send_through(
                await_children, SUPERVISOR, lambda: self._whole(at_least), timeout=timeout
            )
        except TimeoutError:
            raise TimeoutError(f"{self._lacks(at_least)} after {timeout} s") from None

    def _whole(self, at_least: int) -> bool:
        return not self.missing() and (at_least <= 0 or len(self) >= at_least)

    def _lacks(self, at_least: int) -> str:
        failed = self.failed()
        if not self.missing():
            return f"{len(self)} replicas of {self.name!r} run, {at_least} are to"
        parts = [f"{n} ({failed[n]})" if n in failed else n for n in self.missing()]
        return f"replicas of {self.name!r} do not run on {', '.join(parts)}"

    async def stop(self, timeout: float = 10.0) -> None:
        """Stop all replicas, for good.

        Raises:
            ChildNotFound, TimeoutError: as ``process_manager.stop``.

        What this does:
            Has the supervisor want them no more, and waits until none runs.

        Equivalent direct messages::

            from foundation.cluster.supervisor import terminate_child

            await terminate_child("foundation.processes", self.name, timeout=timeout)

        When to bypass:
            By a message: ``Stop(name)`` to ``foundation.process_manager``.
        """
        await send_through(terminate_child, SUPERVISOR, self.name, timeout=timeout)


@dataclass(frozen=True)
class PartitionSet:
    """The parts of a name, and the way to them. Use it inside processes.

    All but ``complete`` and ``stop`` is a look into this host's copy of what there is, by
    ``which_children("foundation.processes")``, or pure (``number``, ``route``), and sends nothing.

    Attributes:
        name: as it was started.
        partitions: how many.
    """

    name: str
    partitions: int

    def number(self, key: Any) -> int:
        """Return the number of the part that *key* belongs to, alike on every node.

        An integer goes to part ``abs(key) % partitions``; anything else by a hash that is the same
        in every interpreter. Equal keys lead to the same part.

        Args:
            key: text, bytes, a number, None, a UUID, a member of an enumeration, a frozen
                dataclass, or a tuple of these. Classes count by their qualified name, so it is no
                matter whether one is of ``__main__`` or imported.

        Raises:
            TypeError, ValueError: *key* is none of these, so it may mean another part elsewhere.
        """
        return partition_index(key, self.partitions)

    def route(self, key: Any) -> Managed:
        """Return the name of the part that *key* belongs to, for ``call``, ``cast`` and ``send``.

        It is looked up at each use, so it stays right when the part is restarted or moves. As for
        what may be a key, and for errors, see ``number``.
        """
        return Managed((self.name, self.number(key)))

    def pids(self) -> dict[int, Pid]:
        """Return the running parts, by number."""
        found = {}
        for child in which_children(SUPERVISOR):
            mine = is_part(self.name, child.id) and 0 <= child.id[1] < self.partitions
            if mine and child.status == "running" and child.pid:
                found[child.id[1]] = child.pid
        return dict(sorted(found.items()))

    async def complete(self, timeout: float = 30.0) -> None:
        """Wait until all parts run.

        Raises:
            TimeoutError: some do not.

        What this does:
            Waits for changes of the supervisor's table in this host; sends nothing.

        Equivalent direct messages::

            from foundation.cluster.supervisor import await_children

            def whole():
                return len(self.pids()) >= self.partitions

            await await_children("foundation.processes", whole, timeout=timeout)
            None

        When to bypass:
            To wait for some parts only: ``await_children`` with a condition of your own.
        """
        try:
            await send_through(await_children, SUPERVISOR, self._whole, timeout=timeout)
        except TimeoutError:
            raise TimeoutError(f"{self._lacks()} after {timeout} s") from None

    def _whole(self) -> bool:
        return len(self.pids()) >= self.partitions

    def _lacks(self) -> str:
        have = self.pids()
        lacking = [str(n) for n in range(self.partitions) if n not in have]
        return f"partitions {', '.join(lacking)} of {self.name!r} do not run"

    async def stop(self, timeout: float = 10.0) -> None:
        """Stop all parts, for good.

        Raises:
            ChildNotFound, TimeoutError: as ``process_manager.stop``.

        What this does:
            Has the supervisor want them no more, and waits until none runs.

        Equivalent direct messages::

            from foundation.cluster.supervisor import terminate_child

            await terminate_child("foundation.processes", self.name, timeout=timeout)

        When to bypass:
            By a message: ``Stop(name)`` to ``foundation.process_manager``.
        """
        await send_through(terminate_child, SUPERVISOR, self.name, timeout=timeout)
