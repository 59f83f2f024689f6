"""Runs an experiment on a defect of the core, on stock or on ours, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from thespian.actors import ActorSystem
from thespian.test import get_free_admin_port

from foundation.transport import TransportConfig, open_system
from tests.transport.actors import SlowText


def open_base(base: str) -> Any:
    """A system on "ours" or "stock"."""
    if base == "ours":
        return open_system(TransportConfig(cookie=b"stock-comparison-cookie"))
    caps = {"Admin Port": get_free_admin_port()}
    return ActorSystem("multiprocTCPBase", caps, transientUnique=True)


def formatted(system: Any) -> int:
    """How often the text of a message was made while it was sent and handled."""
    slow = system.createActor(SlowText)
    system.ask(slow, "ping", 5)
    return int(system.ask(slow, "texts", 5))


EXPERIMENTS = {"formatted": formatted}


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
