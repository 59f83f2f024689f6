"""Starts that other hosts ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import CodecError
from foundation.kernel.codec import loads
from foundation.kernel.peer import PROCESS_KINDS
from foundation.kernel.process import Caller
from foundation.kernel.values import Crash, Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.remote import Remote


class Starts:
    """Starts processes for hosts that ask by ``Remote.spawn``."""

    def __init__(self, kernel: Kernel, remote: Remote) -> None:
        self._kernel = kernel
        self._remote = remote

    def on_spawn(self, host: str, ref: int, sender: int, payload: bytes) -> None:
        """Start a process; its starter is told how that went."""
        kernel, remote = self._kernel, self._remote
        peer = remote.peers[host]
        there = Pid(host, peer.incarnation, sender)
        starter = Caller(None, there, kernel.outside, None, ref)
        within = host in remote.neighbours
        try:
            fields: Any = loads(payload, allow_code=within or remote.accept_code)
            kind, body, link, name, extra, parent, ancestors = fields
            process_class = PROCESS_KINDS[kind]
        except (CodecError, KeyError, TypeError, ValueError) as error:
            why = error if within else self._cannot_load(error)
            kernel.answer(starter, False, Crash.from_exception(why))
            return
        child = kernel.spawn(
            process_class,
            body,
            parent_pid=parent,
            ancestors=ancestors,
            link=link,
            name=name,
            starter=starter,
            extra=extra,
        )
        if child.starter is not None:
            peer.spawning[ref] = child  # until it is acknowledged: see ``Remote.answer``

    def _cannot_load(self, error: Exception) -> CodecError:
        return CodecError(
            f"{self._kernel.address} cannot load what it should start: {error}; install the "
            "module on that node, or start with ship=True where the node accepts code"
        )

    def on_cancel(self, host: str, ref: int) -> None:
        """The starter has given up."""
        child = self._remote.peers[host].spawning.pop(ref, None)
        if child is not None:
            if child.parent is not None:  # no EXIT for the starter (GS-13)
                self._kernel.signals.unlink(child, child.parent)
            self._kernel.die(child, "killed")
