"""The program of one node under test; started by ``kit.py``, obeys what comes over a socket.

    python node_main.py FD

The first message is the settings, then requests ``(number, kind, function, args)`` follow,
each answered by ``(number, ok, pickled value)``; *kind* is ``"run"`` for an ``async def`` that
is run as a process in this program, ``"do"`` for a plain function of the node. All are pickles
with their length before them. The node ends on SIGTERM and SIGINT, and when the socket is
closed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])


class Link:
    """One end of the socket between a test and a node; ``send`` may be called by any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send *message*.

        Raises:
            OSError: the other end is gone.
            Exception: it cannot be pickled.
        """
        data = pickle.dumps(message)
        with self._lock:
            self._socket.sendall(struct.pack("!I", len(data)) + data)

    def receive(self) -> Any:
        """Return the next message.

        Raises:
            EOFError: there will be none.
        """
        (length,) = struct.unpack("!I", self._exactly(4))
        return pickle.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            try:
                part = self._socket.recv(count - len(parts))
            except OSError:
                part = b""
            if not part:
                raise EOFError("the other end is gone")
            parts += part
        return parts

    def close(self) -> None:
        """Close; a ``receive`` that waits ends with ``EOFError``."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def named(path: str) -> Any:
    """Return what ``"module:name"`` means."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


class Obedience:
    """Carries out the requests of the test, each in a thread."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def begin(self, node: Any) -> None:
        """The node runs."""
        threading.Thread(target=self._serve, args=(node,), daemon=True).start()
        self._link.send(("ready", os.getpid()))

    def _serve(self, node: Any) -> None:
        while True:
            try:
                request = self._link.receive()
            except EOFError:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            threading.Thread(target=self._carry_out, args=(node, *request), daemon=True).start()

    def _carry_out(self, node: Any, number: int, kind: str, path: str, args: Any) -> None:
        try:
            function = named(path)
            value = node.run(function, *args) if kind == "run" else function(node, *args)
            ok, data = True, _pickled(value)
        except BaseException as error:
            ok, data = False, _pickled(error)
        with contextlib.suppress(OSError):  # the test may be over
            self._link.send((number, ok, data))


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        return pickle.dumps(RuntimeError(f"cannot be pickled: {value!r}"))


def main() -> int:
    """Start the node; return when it has ended."""
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    settings = link.receive()
    sys.path[0] = ROOT  # instead of this directory
    sys.path.extend(settings.pop("path"))
    import foundation

    app = settings.pop("app")
    try:
        application = named(app)() if app is not None else None
        return foundation.run(application, on_ready=Obedience(link).begin, **settings)
    except Exception as error:
        link.send(("failed", f"{type(error).__name__}: {error}"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
