"""Discovery among the nodes of one user on one machine, without any network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from foundation.cluster.discovery.protocol import Advertisement, Found
from foundation.cluster.discovery.rendezvous import (
    Note,
    cluster_folder,
    leave,
    notes,
)
from foundation.runtime.directory import birth, withdraw


@dataclass
class Loopback:
    """Each node leaves its address in a directory: two terminals on a laptop find each other.

    The directory is private. Its files are small and local, so they are read and written on the
    event loop.

    Args:
        directory: where; by default ``$XDG_RUNTIME_DIR/foundation/rendezvous``, or
            ``foundation-<uid>/rendezvous`` in the directory of temporary files. Each cluster has
            a directory of its own in it.

    Raises:
        ValueError: *directory* is not a path.
    """

    directory: str | os.PathLike[str] | None = None
    _note: Note | None = field(default=None, init=False, repr=False, compare=False)
    _place: tuple[str, Path | None] = field(
        default=("", None), init=False, repr=False, compare=False
    )

    name: ClassVar[str] = "loopback"

    def __post_init__(self) -> None:
        if self.directory is None:
            return
        path = self.directory
        if not isinstance(path, (str, os.PathLike)) or not str(path):
            raise ValueError(f"Loopback.directory must be a path or None, got {path!r}")
        self.directory = os.path.abspath(path)

    async def start(self, me: Advertisement, found: Found) -> None:
        """Leave this node's address.

        Raises:
            NodeError, OSError: the directory is not private, or cannot be written.
        """
        pid = os.getpid()
        self._note = Note(me.node, me.address, pid, birth(pid))
        self._place = (me.cluster, None)
        self._leave()

    async def discover(self) -> Iterable[str]:
        """Return the addresses of the nodes that run; leave this one's again if it is lost."""
        place = self._leave()
        return [note.address for note in notes(place)]

    async def close(self) -> None:
        """Remove this node's file."""
        path = self._place[1]
        self._note, self._place = None, ("", None)
        if path is not None:
            withdraw(path)

    def _leave(self) -> Path:
        if self._note is None:
            raise RuntimeError("this Loopback is not started")
        cluster = self._place[0]
        directory = None if self.directory is None else os.fspath(self.directory)
        place = cluster_folder(cluster, directory)
        self._place = (cluster, leave(place, self._note))
        return place
