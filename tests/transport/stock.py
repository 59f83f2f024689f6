"""Runs an experiment on a defect of the core, on stock or on ours, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from thespian.actors import ActorExitRequest, ActorSystem
from thespian.test import get_free_admin_port

from foundation.transport import TransportConfig, open_system
from tests.transport.actors import Killer, SlowText


def open_base(base: str) -> Any:
    """A system on "ours" or "stock"."""
    if base == "ours":
        return open_system(TransportConfig(cookie=b"stock-comparison-cookie"))
    caps = {"Admin Port": get_free_admin_port()}
    return ActorSystem("multiprocTCPBase", caps, transientUnique=True)


def lost_exits(system: Any) -> int:
    """How many of (at most) 12 rounds of six simultaneous deaths were not reported in full."""
    for _ in range(12):
        killer = system.createActor(Killer)
        if system.ask(killer, ("round", 6), 2.5) != ("exited", 6):
            return 1
        system.tell(killer, ActorExitRequest())
    return 0


def formatted(system: Any) -> int:
    """How often the text of a message was made while it was sent and handled."""
    slow = system.createActor(SlowText)
    system.ask(slow, "ping", 5)
    return int(system.ask(slow, "texts", 5))


EXPERIMENTS = {"lost_exits": lost_exits, "formatted": formatted}


def main() -> None:
    """``python -m tests.transport.stock BASE EXPERIMENT`` prints the result as JSON."""
    base, experiment = sys.argv[1:]
    system = open_base(base)
    began = time.monotonic()
    try:
        result = EXPERIMENTS[experiment](system)
    finally:
        system.shutdown()
    print(json.dumps({"result": result, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
