"""PartitionSupervisor: n copies of one child, and a stable way from a key to one of them.

Example::

    children = [PartitionSupervisor.spec(Cache, name="cache", partitions=8)]
    await call(partition("cache", user_id), "get")

The table of partitions is replicated to every host of the node (``install``), so an address is
resolved by a dictionary read, wherever the caller is.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from foundation.errors import InvalidChildSpec, StartError
from foundation.kernel.codec import register
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.otp.partition_key import partition_index, plain
from foundation.otp.partition_table import Partitions, install, partitions_of, publish, withdraw
from foundation.otp.supervision import SupFlags
from foundation.otp.supervisor import BaseSupervisor
from foundation.otp.supervisor_calls import Refused, ask, refusal
from foundation.otp.supervisor_engine import Child, SupervisorEngine


class Partition(NamedTuple):
    """The address of the partition of *name* that *key* belongs to; see ``partition``."""

    name: Any
    key: Any

    def __resolve__(self, kernel: Kernel) -> Pid | None:
        known = partitions_of(kernel).get(self.name)
        if known is None:
            return None
        if known.size == 0:
            raise InvalidChildSpec(
                f"partition supervisor {self.name!r} has been resized to 0 partitions; resize "
                "it before calling its partitions"
            )
        return known.pids[partition_index(self.key, known.size)]


def partition(name: Any, key: Any) -> Partition:
    """Return the address of the partition of *name* that *key* belongs to.

    Usable wherever a pid or a name is: ``call``, ``cast``, ``send``, ``monitor``. The same key
    leads to the same partition in every host, as long as the number of partitions is unchanged.

    Args:
        name: of the partition supervisor.
        key: an integer goes to partition ``abs(key) % n``; text, bytes, None, other numbers,
            UUIDs, members of enumerations, frozen dataclasses and tuples of all these by a hash
            that is the same in every interpreter. Equal keys lead to the same partition, so
            ``1.0`` and ``True`` do as ``1``.

    Raises:
        TypeError, ValueError: *key* is none of these, so it may mean another partition elsewhere.
    """
    if type(key) is not str and type(key) is not int:
        plain(key)
    return Partition(name, key)


class PartitionEngine(SupervisorEngine):
    """The engine of ``PartitionSupervisor``."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.specs: list[ChildSpec] = []
        self.complete = False

    async def plan(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Note the specs of all partitions; they stay when it is made smaller."""
        plan = await super().plan(cls, args, kwargs)
        self.specs = list(plan[1])
        self.size = len(self.specs)
        self.process.add_exit_hook(withdraw_at_exit)
        return plan

    async def init(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Start the partitions, then tell the other hosts."""
        result = await super().init(cls, args, kwargs)
        self.complete = True
        if result is None:
            self._publish()
        return result

    def changed(self, child: Child) -> None:
        """Route to the new pid."""
        self._publish()

    def _publish(self) -> None:
        process = self.process
        children = [self.children.get(index) for index in range(self.size)]
        pids = tuple(None if child is None else child.pid for child in children)
        entry = Partitions(process.pid, self.size, pids)
        publish(process.kernel, process.name, entry, everywhere=self.complete)

    async def _resize(self, size: Any) -> Any:
        if type(size) is not int or not 0 <= size <= len(self.specs):
            limit = f"from 0 to {len(self.specs)}, the number it was started with"
            return Refused("spec", f"partitions must be {limit}, got {size!r}")
        before, self.size = self.size, size
        self._publish()
        for index in reversed(range(size, before)):
            child = self.children.get(index)
            if child is not None:  # a temporary one may have ended for good, or been deleted
                await self._end(child)
                self.children.pop(index, None)
        for index in range(before, size):
            child = self.children[index] = Child(self.specs[index])
            result = await self._launch(child)
            if isinstance(result, StartError):
                del self.children[index]
                self.size = index
                self._publish()
                return refusal(result)
        return before

    def _partitions(self) -> int:
        return self.size

    __operations__ = {
        **SupervisorEngine.__operations__,
        "resize": _resize,
        "partitions": _partitions,
    }


def withdraw_at_exit(process: Process, reason: Any) -> None:
    """Remove the routes of a partition supervisor that ends, however it ends."""
    withdraw(process.kernel, process.pid)


class PartitionSupervisor(BaseSupervisor):
    """Supervises n copies of one child, with ids 0 … n-1; ``partition`` leads to them."""

    __engine__ = PartitionEngine

    def init(
        self,
        child: Any,
        *,
        partitions: int,
        strategy: str = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        with_arguments: Callable[[list[Any], int], list[Any]] | None = None,
    ) -> Any:
        """Return the flags and the specs of the partitions."""
        base = to_spec(child)
        specs = [
            dataclasses.replace(base, id=index, start=_start_of(base, index, with_arguments))
            for index in range(partitions)
        ]
        return SupFlags(strategy, max_restarts, max_seconds), specs

    @classmethod
    async def start_link(cls, child: Any = None, **options: Any) -> Pid:  # type: ignore[override]
        """Start a partition supervisor linked to this process.

        Args:
            child: what each partition runs: a ``ChildSpec``, a server class or
                ``(class, *args)``.
            **options: ``name`` (required), ``partitions`` (default: one per core),
                ``strategy``, ``max_restarts``, ``max_seconds`` as for ``Supervisor``;
                ``with_arguments(args, partition)`` returns the list of arguments for one
                partition; ``timeout``, ``host``, ``isolation`` as for ``GenServer.start_link``.

        Raises:
            InvalidChildSpec: an argument is wrong.
            StartError: a partition could not start.
        """
        return await super().start_link(child, **cls._checked(child, options))

    @classmethod
    def spec(cls, child: Any = None, **options: Any) -> ChildSpec:
        """Return its child specification; arguments as ``start_link``, and those of a spec.

        Raises:
            InvalidChildSpec: an argument is wrong.
        """
        return super().spec(child, **cls._checked(child, options))

    @classmethod
    def _checked(cls, child: Any, options: dict[str, Any]) -> dict[str, Any]:
        if child is None:
            raise InvalidChildSpec("PartitionSupervisor needs the child to run")
        to_spec(child)
        if options.get("name") is None:
            raise InvalidChildSpec("PartitionSupervisor needs name=, by which keys are routed")
        if "auto_shutdown" in options:
            raise InvalidChildSpec("a PartitionSupervisor has no auto_shutdown; leave it out")
        partitions = options.get("partitions")
        if partitions is None:
            partitions = os.cpu_count() or 1
        if type(partitions) is not int or partitions < 1:
            raise InvalidChildSpec(f"partitions must be 1 or more, got {partitions!r}")
        return {**options, "partitions": partitions}

    @staticmethod
    def partitions(supervisor: Any) -> Coroutine[Any, Any, int]:
        """Return how many partitions there are now."""
        return ask(supervisor, "partitions")

    @staticmethod
    def resize(supervisor: Any, partitions: int) -> Coroutine[Any, Any, int]:
        """Stop or start partitions, so that there are *partitions*; return the number before.

        Keys are routed among those that are left, so most change their partition.

        Raises:
            InvalidChildSpec: more than it was started with, or below 0.
            StartError: a partition could not start.
        """
        return ask(supervisor, "resize", partitions)


def _start_of(base: ChildSpec, index: int, with_arguments: Any) -> Any:
    target, args, kwargs = base.start
    if with_arguments is None:
        return base.start
    changed = with_arguments(list(args), index)
    if type(changed) is not list:
        raise InvalidChildSpec(
            f"with_arguments must return the list of arguments for partition {index}, got "
            f"{changed!r}"
        )
    return (target, tuple(changed), kwargs)


register(Partition, 60)

__all__ = ["Partition", "PartitionSupervisor", "install", "partition"]
