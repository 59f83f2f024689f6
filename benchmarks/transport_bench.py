"""Raw Thespian actors on our base against stock ``multiprocTCPBase``.

    python benchmarks/transport_bench.py [seconds]

`measure` is importable by the benchmark suite; each call opens and closes a system of its own.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Literal

from thespian.actors import Actor, ActorExitRequest, ActorSystem

from foundation.transport import TransportConfig, open_system

Base = Literal["ours", "stock"]
CHUNK = 200  # stock drops messages when more than about 1,000 are queued at the sender


class Ponger(Actor):
    """Sends bytes back, counts the rest."""

    seen = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if type(message) is bytes:
            self.send(sender, message)
        elif isinstance(message, int):
            self.seen += 1
        elif message == "seen":
            self.send(sender, ("seen", self.seen))


class Pinger(Actor):
    """Measures the way to another actor and back, and one-way floods."""

    client: Any = None
    peer: Any = None
    sent = 0
    round_trips = 0
    began = until = 0.0
    chunk = CHUNK

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if type(message) is bytes:
            self._pong()
        elif isinstance(message, tuple) and message[0] == "ping":
            self._begin(sender, message)
            self.send(self.peer, b"x" * 100)
        elif isinstance(message, tuple) and message[0] == "flood":
            self._begin(sender, message)
            self.chunk = message[3]
            self._flood()
        elif isinstance(message, tuple) and message[0] == "seen":
            self._seen(message[1])

    def _begin(self, sender: Any, message: tuple[Any, ...]) -> None:
        self.client, self.peer = sender, message[1]
        self.began = time.perf_counter()
        self.until = self.began + message[2]
        self.round_trips = 0

    def _pong(self) -> None:
        self.round_trips += 1
        now = time.perf_counter()
        if now < self.until:
            self.send(self.peer, b"x" * 100)
        else:
            self.send(self.client, self.round_trips / (now - self.began))

    def _flood(self) -> None:
        for number in range(self.chunk):
            self.send(self.peer, number)
        self.sent += self.chunk
        self.send(self.peer, "seen")  # the flood counts when it is confirmed

    def _seen(self, count: int) -> None:
        now = time.perf_counter()
        if count < self.sent or now < self.until:
            self._flood() if count >= self.sent else self.send(self.peer, "seen")
        else:
            self.send(self.client, self.sent / (now - self.began))


def _open(base: Base) -> Any:
    if base == "ours":
        return open_system(TransportConfig(cookie=b"benchmark-cookie-0123456789"))
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)


def measure(base: Base, seconds: float = 2.0) -> dict[str, float]:
    """Round trips and burst of one base.

    Args:
        base: "ours" or "stock".
        seconds: how long each of the two measurements runs.

    Returns:
        ``roundtrip``: actor-to-actor ping-pongs per second (100 bytes);
        ``burst``: one-way messages per second in chunks of 5,000 (200 on stock, which
        drops longer bursts), until the receiver confirmed all of them.
    """
    system = _open(base)
    try:
        pinger, ponger = system.createActor(Pinger), system.createActor(Ponger)
        system.ask(pinger, ("ping", ponger, 0.2), 10)  # warm up
        roundtrip = system.ask(pinger, ("ping", ponger, seconds), seconds + 30)
        chunk = 5000 if base == "ours" else CHUNK
        burst = system.ask(pinger, ("flood", ponger, seconds, chunk), seconds + 60)
        for actor in (pinger, ponger):
            system.tell(actor, ActorExitRequest())
    finally:
        system.shutdown()
    if roundtrip is None or burst is None:
        raise RuntimeError(f"{base}: no result in time")
    return {"roundtrip": roundtrip, "burst": burst}


def main() -> None:
    """Measure both bases, interleaved, and print the ratios."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else 2.0
    results = {base: measure(base, seconds) for base in ("stock", "ours")}  # type: ignore[arg-type]
    for name in ("roundtrip", "burst"):
        stock, ours = results["stock"][name], results["ours"][name]
        print(f"{name:10} stock {stock:10,.0f}/s  ours {ours:10,.0f}/s  x{ours / stock:.1f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
