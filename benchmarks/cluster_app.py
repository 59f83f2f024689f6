"""What the nodes of the cluster benchmarks run; and one node as a program, to be killed."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import foundation
from benchmarks.servers import Counter
from foundation.cluster import ClusterConfig
from foundation.cluster.discovery import Loopback
from foundation.cluster.pubsub import subscribe
from foundation.cluster.registry import DistributedRegistry
from foundation.cluster.supervisor import DistributedSupervisor
from foundation.otp import GenServer, Supervisor

COOKIE = "a cookie for the benchmarks only"
NAMES, JOBS, TOPIC = "names", "jobs", "topic"


class App(Supervisor):
    """A registry, and a supervisor whose children are never two at a time."""

    def init(self) -> Any:
        """Return the children."""
        return [
            DistributedRegistry.spec(name=NAMES),
            DistributedSupervisor.spec(name=JOBS, on_minority="stop"),
        ]


class Subscriber(GenServer):
    """Counts what it hears."""

    async def init(self) -> None:
        """Subscribe."""
        self.heard = 0
        await subscribe(TOPIC)

    def handle_info(self, message: Any) -> None:
        """Count."""
        self.heard += 1

    def handle_call(self, request: Any, caller: Any) -> int:
        """Say how many."""
        return self.heard


def node(name: str, cluster: str, directory: str, app: Any = None, **options: Any) -> Any:
    """Return a node of one worker host that finds the others by *directory*, over TCP."""
    config = ClusterConfig(name=cluster, strategies=(Loopback(directory),), unix=False, **options)
    return foundation.start(
        app, name=name, hosts=1, cluster=config, cookie=COOKIE, log_level=logging.CRITICAL
    )


def main() -> None:
    """``python -m benchmarks.cluster_app NAME CLUSTER DIRECTORY``; ends with its standard input."""
    name, cluster, directory = sys.argv[1:]
    ended = threading.Event()
    with node(name, cluster, directory, App, expected_size=3):
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        ended.wait()


if __name__ == "__main__":
    main()

__all__ = ["App", "Counter", "Subscriber", "node"]
