"""Hosts of other nodes: frames between them may be lost without a host having died (R4).

``association.py`` says what to do about a frame; this does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foundation.kernel.association import ACCEPT, ANNOUNCE, FOLLOW, RESTART, Association
from foundation.kernel.peer import Peer

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.remote import Remote

EARLY_FRAMES = 200  # kept of a foreign host that this one has not been told of yet ...
EARLY_HOSTS = 100  # ... of so many such hosts ...
EARLY_SECONDS = 2.0  # ... for so long
LOST_SECONDS = 0.1  # between the loss of a connection and the end of what crosses over it


class Foreign:
    """The side of a kernel that faces hosts of other nodes.

    Attributes:
        muted: nodes that nothing goes to or comes from, on purpose (``cluster/chaos.py``).
        on_down: told of a host when what crosses to it is settled: it is gone, or a frame was lost.
    """

    def __init__(self, kernel: Kernel, remote: Remote) -> None:
        self._kernel = kernel
        self._remote = remote
        self.muted: frozenset[str] = frozenset()
        self.on_down: list[Callable[[str], None]] = []
        self._associations = 0
        self._early: dict[str, list[bytes]] = {}  # frames of hosts that will be peers
        # Hosts that went down: their incarnation, and their association that is over.
        self._severed: dict[str, tuple[int, int]] = {}

    def is_muted(self, host: str) -> bool:
        """Whether nothing goes to *host* or comes from it."""
        return host.partition("/")[0] in self.muted

    def up(self, host: str, incarnation: int) -> None:
        """A host of another node can be reached from now on."""
        remote = self._remote
        known = remote.peers.get(host)
        if known is not None:
            if known.incarnation == incarnation:
                return
            remote.host_down(host, "killed")
        life, ended = self._severed.pop(host, (0, 0))
        met = life == incarnation
        association = self._next_association(ended if met else 0)
        remote.peers[host] = Peer(host, incarnation, association)
        for frame in self._early.pop(host, ()):
            remote.on_frame(frame)
        if met:
            self.announce(host)  # to them the last association may not be over yet

    def went_down(self, peer: Peer) -> None:
        """*peer* is no longer reachable; remember what must not be mixed up with what follows."""
        if peer.association is not None and peer.association.used:
            if len(self._severed) >= EARLY_HOSTS:
                del self._severed[next(iter(self._severed))]
            self._severed[peer.host] = (peer.incarnation, peer.association.over)
        for told in self.on_down:
            told(peer.host)

    def _next_association(self, ended: int) -> Association:
        self._associations += 1
        return Association(self._associations, ended)

    def announce(self, host: str) -> None:
        """Let a foreign host know that what crossed between it and this one is settled."""
        peer = self._remote.peers.get(host)
        if peer is not None and peer.association is not None:
            self._remote.touch(peer)

    def connection_lost(self, host: str) -> None:
        """The connection to a foreign host broke: what was under way may be lost.

        Most often that host is dead, and its node says so a moment later, with the reason.
        """
        peer = self._remote.peers.get(host)
        association = peer.association if peer is not None else None
        if association is None or not association.used:
            return

        def settle() -> None:
            now = self._remote.peers.get(host)
            if now is not None and now.association is association:
                self._begin_anew(now, self._next_association(association.over))

        self._kernel.later(LOST_SECONDS, settle)

    def _begin_anew(self, peer: Peer, association: Association) -> None:
        """Settle all that crosses to a foreign host, and go on in *association*."""
        self._remote.host_down(peer.host, "noconnection")
        self._severed.pop(peer.host, None)
        self._remote.peers[peer.host] = Peer(peer.host, peer.incarnation, association)

    def admit(self, peer: Peer, head: list[int]) -> bool:
        """Whether to apply a frame of *peer* with this head (see ``association.py``)."""
        if peer.association is None or len(head) != 3:
            return False
        association = peer.association
        verdict = association.judge(*head)
        if verdict == FOLLOW:
            association = self._next_association(association.over)
            association.theirs = head[0]
            self._begin_anew(peer, association)
            verdict = association.judge(*head)
        if verdict == RESTART:
            self._begin_anew(peer, self._next_association(association.over))
        if verdict in (RESTART, ANNOUNCE):
            self.announce(peer.host)
        return verdict == ACCEPT

    def keep_early(self, host: str, frame: bytes) -> None:
        """Keep a frame until this host is told of its sender, which has heard of us first."""
        frames = self._early.get(host)
        if frames is None:
            if len(self._early) >= EARLY_HOSTS:
                return
            frames = self._early[host] = []
            kept = frames

            def expire() -> None:
                if self._early.get(host) is kept:
                    del self._early[host]

            self._kernel.driver.call_later(EARLY_SECONDS, expire)
        if len(frames) < EARLY_FRAMES:
            frames.append(frame)
