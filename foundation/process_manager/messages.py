"""The functions of the process manager as messages.

Send one to ``"foundation.process_manager"`` of this node, or to ``("foundation.process_manager",
node)`` of another: the reply is what the function returns, or ``foundation.facade.Failed``::

    pid = await call("foundation.process_manager", StartSingleton(Scheduler), timeout=10)

Each stands for the function of the same name of the package and has its arguments as fields.
A class in a message must be importable where the server runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.facade import Request
from foundation.kernel.values import Pid
from foundation.process_manager import functions, starting
from foundation.process_manager.sets import PartitionSet, ReplicaSet
from foundation.process_manager.values import ProcessInfo, ProcessState


@dataclass(frozen=True)
class StartSingleton(Request[Pid]):
    """``start_singleton``."""

    cls: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    restart: str = "permanent"
    timeout: float = 10.0
    labels: Mapping[str, str] | None = None
    on_minority: str | None = None
    wait_for_sync: bool = False

    async def perform(self) -> Pid:
        """Start it."""
        return await starting.start_singleton(
            self.cls,
            *self.args,
            name=self.name,
            restart=self.restart,
            timeout=self.timeout,
            labels=self.labels,
            on_minority=self.on_minority,
            wait_for_sync=self.wait_for_sync,
            **self.kwargs,
        )


@dataclass(frozen=True)
class StartReplicated(Request[ReplicaSet]):
    """``start_replicated``."""

    cls: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    restart: str = "permanent"
    timeout: float = 30.0
    labels: Mapping[str, str] | None = None

    async def perform(self) -> ReplicaSet:
        """Start them."""
        return await starting.start_replicated(
            self.cls,
            *self.args,
            name=self.name,
            restart=self.restart,
            timeout=self.timeout,
            labels=self.labels,
            **self.kwargs,
        )


@dataclass(frozen=True)
class StartPartitioned(Request[PartitionSet]):
    """``start_partitioned``."""

    cls: Any
    partitions: int
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    restart: str = "permanent"
    timeout: float = 30.0
    labels: Mapping[str, str] | None = None
    on_minority: str | None = None

    async def perform(self) -> PartitionSet:
        """Start them."""
        return await starting.start_partitioned(
            self.cls,
            *self.args,
            partitions=self.partitions,
            name=self.name,
            restart=self.restart,
            timeout=self.timeout,
            labels=self.labels,
            on_minority=self.on_minority,
            **self.kwargs,
        )


@dataclass(frozen=True)
class Lookup(Request[Pid | None]):
    """``lookup``."""

    name: str

    async def perform(self) -> Pid | None:
        """Look."""
        return functions.lookup(self.name)


@dataclass(frozen=True)
class WaitFor(Request[Pid]):
    """``wait_for``."""

    name: str
    timeout: float = 10.0

    async def perform(self) -> Pid:
        """Wait."""
        return await functions.wait_for(self.name, self.timeout)


@dataclass(frozen=True)
class State(Request[ProcessState]):
    """``state``."""

    name: str

    async def perform(self) -> ProcessState:
        """Look."""
        return functions.state(self.name)


@dataclass(frozen=True)
class Stop(Request[None]):
    """``stop``."""

    name: str
    timeout: float = 10.0

    async def perform(self) -> None:
        """Stop it."""
        await functions.stop(self.name, self.timeout)


@dataclass(frozen=True)
class Migrate(Request[Pid]):
    """``migrate``."""

    name: Any
    to: str | None
    timeout: float = 30.0

    async def perform(self) -> Pid:
        """Move it."""
        return await functions.migrate(self.name, self.to, self.timeout)


@dataclass(frozen=True)
class ListProcesses(Request[list[ProcessInfo]]):
    """``list_processes``."""

    pattern: str | None = None

    async def perform(self) -> list[ProcessInfo]:
        """List them."""
        return await functions.list_processes(self.pattern)
