"""What the tests of the process manager share."""

from __future__ import annotations

from typing import Any

from foundation.entry import Facades
from foundation.otp import GenServer
from foundation.process_manager import ProcessInfo, list_processes
from foundation.testing.cluster_sim import ClusterSimulation


class Worker(GenServer):
    """Counts, and moves with its count."""

    def init(self, n: int = 0) -> None:
        self.n = n

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "crash":
            raise ValueError("told to")
        if request == "get":
            return self.n
        self.n += 1
        return self.n

    def export_state(self) -> Any:
        return self.n

    def import_state(self, state: Any) -> None:
        self.n = state


class Part(GenServer):
    """Knows its number."""

    def init(self, partition: int = -1) -> None:
        self.partition = partition

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.partition


class Broken(GenServer):
    """Never starts."""

    def init(self) -> None:
        raise RuntimeError("cannot start")


async def listed() -> list[ProcessInfo]:
    """Return what ``list_processes`` does but for the processes of foundation itself."""
    infos = await list_processes()
    return [info for info in infos if not info.name.startswith("foundation.")]


def node_of(pid: Any) -> str:
    """Return the node where *pid* lives."""
    return pid.host.partition("/")[0]  # type: ignore[no-any-return]


def facades(seed: int, nodes: int = 3, **options: Any) -> ClusterSimulation:
    """Return a cluster whose nodes run the facades; ``form`` starts it."""
    app = [Facades.spec(id="facades", host="control")]
    return ClusterSimulation(seed, nodes=nodes, app=app, **options)
