"""What the tests of the distributed supervisor share: servers, and the application of a node."""

from __future__ import annotations

import asyncio
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.cluster.supervisor import (
    DistributedSupervisor,
    count_children,
    generation,
    start_child,
    whereis_child,
    which_children,
)
from foundation.otp import Exit, GenServer, Supervisor, receive
from foundation.testing.cluster_sim import ClusterSimulation


class Worker(GenServer):
    """Counts, and moves with its count."""

    def init(self, n: int = 0) -> None:
        self.n = n

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case "crash":
                raise ValueError("told to")
            case "generation":
                return generation()
            case ("end", reason):
                raise Exit(reason)
            case "get":
                return self.n
        self.n += 1
        return self.n

    def export_state(self) -> Any:
        return self.n

    def import_state(self, state: Any) -> None:
        self.n = state


class Plain(GenServer):
    """Has no state to move; gets its number when it is a partition."""

    def init(self, partition: int | None = None) -> None:
        self.partition = partition

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.partition


class Slow(GenServer):
    """Takes ten seconds to start."""

    async def init(self) -> None:
        await asyncio.sleep(10)


class Looping(GenServer):
    """Starts, and crashes at once."""

    def init(self) -> Any:
        from foundation.otp import Continue

        return Continue("crash")

    def handle_continue(self, argument: Any) -> Any:
        raise RuntimeError("as always")


class Broken(GenServer):
    """Never starts."""

    def init(self) -> None:
        raise RuntimeError("cannot start")


async def application(options: dict[str, Any]) -> None:
    """Run the tree of one node."""
    await Supervisor.start_link([DistributedSupervisor.spec(name="jobs", **options)])
    await receive()


class Jobs:
    """A simulated cluster whose nodes run the distributed supervisor ``"jobs"``."""

    def __init__(self, cluster: ClusterSimulation, **options: Any) -> None:
        self.cluster = cluster
        self.options = options

    def form(self) -> None:
        """Start all nodes and the application on each."""
        self.cluster.form()
        for name in self.cluster.nodes:
            self.run_application(name)
        self.cluster.until(lambda: self.registered() == sorted(self.cluster.nodes))
        self.cluster.until(self.cluster.agreed)

    def registered(self) -> list[str]:
        """Return the nodes that run the supervisor, as the first live one sees it."""
        agent = self.cluster.live()[0].agent
        return agent.kernel.tables["cluster.supervisor"].runs_on("jobs")  # type: ignore[no-any-return]

    def run_application(self, name: str) -> Any:
        """Start the application on a node."""
        return self.cluster.spawn(name, application, self.options)

    def restart(self, name: str) -> None:
        """Start a node again, with its application."""
        self.cluster.start(name)
        self.run_application(name)

    def start(self, node: str, spec: Any, **options: Any) -> Any:
        """Call ``start_child`` on *node*."""
        return self.cluster.run(node, lambda: start_child("jobs", spec, **options))

    def start_many(self, node: str, count: int, **options: Any) -> None:
        """Start *count* workers."""

        async def body() -> None:
            for number in range(count):
                await start_child("jobs", Worker.spec(number), id=("w", number), **options)

        self.cluster.run(node, body)

    def which(self, node: str) -> dict[Any, Any]:
        """Return the children by id, as seen on *node*, whose hosts hear of them a little late."""
        self.cluster.advance(0.005)
        return {s.id: s for s in self.cluster.run(node, lambda: which_children("jobs"))}

    def counts(self, node: str) -> dict[str, int]:
        """Return ``count_children``."""
        self.cluster.advance(0.005)
        return self.cluster.run(node, lambda: count_children("jobs"))  # type: ignore[no-any-return]

    def whereis(self, node: str, id: Any) -> Any:
        """Return the pid of a child."""
        self.cluster.advance(0.005)
        return self.cluster.run(node, lambda: whereis_child("jobs", id))


def config(**options: Any) -> ClusterConfig:
    """Return a configuration for the simulator."""
    return ClusterConfig(strategies=(), **options)
