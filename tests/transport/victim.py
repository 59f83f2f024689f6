"""A program that opens a system with a tree of actors and waits to be killed."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from foundation.transport import TransportConfig, open_system
from tests.transport.actors import Echo


def main() -> None:
    """Print the pids of everything as JSON, then hang. Arguments: ``threads``, ``busy``."""
    if "threads" in sys.argv:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    opened: list[Any] = []
    config = TransportConfig(cookie=b"victim-cookie-0123456789")
    if "worker" in sys.argv:  # opened in a thread that ends
        worker = threading.Thread(target=lambda: opened.append(open_system(config)))
        worker.start()
        worker.join()
    else:
        opened.append(open_system(config))
    system = opened[0]
    echoes = [system.createActor(Echo) for _ in range(3)]
    pids = [system.ask(echo, "pid", 10) for echo in echoes]
    system.tell(echoes[0], "child")
    assert system.listen(10) == "child"
    if "busy" in sys.argv:
        system.tell(echoes[1], ("sleep", 60))
    admin = system._systemBase._admin_process.pid
    print(json.dumps({"admin": admin, "actors": pids}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
