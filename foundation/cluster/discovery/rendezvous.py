"""A private directory in which the nodes of one user on one machine leave their addresses.

One small file per node, named after the node and its process, replaced in one step. The file of
a process that is gone is stale: ignored, and removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from foundation.runtime.directory import folder, runs, withdraw

_LARGEST = 4096  # bytes of a file
_LONGEST_NAME = 200  # file systems allow 255


@dataclass(frozen=True)
class Note:
    """What a node leaves.

    Attributes:
        node: its name.
        address: of its cluster endpoint.
        os_pid: of its operating-system process.
        birth: when that process began, since its pid may be used again; see ``birth``.
    """

    node: str
    address: str
    os_pid: int
    birth: str


def cluster_folder(cluster: str, directory: str | None) -> Path:
    """Return the directory of a cluster, made when missing; only this user may enter it.

    Args:
        cluster: its name.
        directory: of the rendezvous of all clusters; None for the user's own.

    Raises:
        NodeError, PermissionError: a directory on the way is not private.
        OSError: it cannot be made.
    """
    if directory is None:
        base = folder() / "rendezvous"
    else:
        base = Path(directory)
        base.parent.mkdir(parents=True, exist_ok=True)
    return _private(_private(base) / _file_name(cluster))


def leave(place: Path, note: Note) -> Path:
    """Write *note* unless it is there already, and return its path."""
    path = place / f"{_file_name(note.node)}-{note.os_pid}.json"
    if _read(path) == note:
        return path
    scratch = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(scratch, flags, 0o600), "w") as file:
        json.dump(asdict(note), file)
    os.replace(scratch, path)
    return path


def notes(place: Path) -> list[Note]:
    """Return what the running nodes have left, by file name."""
    found = []
    for path in sorted(place.glob("*.json")):
        note = _read(path)
        if note is None:
            continue
        if runs(note.os_pid, note.birth):
            found.append(note)
        else:
            withdraw(path)
    return found


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    state = path.lstat()  # a link would lead to a place that its owner can exchange
    private = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
    if not private or state.st_mode & 0o077:
        raise PermissionError(
            f"{path} must be a directory of this user alone: chmod 700 it, or choose another"
        )
    return path


def _file_name(text: str) -> str:
    """Return a file name for *text*, different for each text."""
    # A leading dot would mean a hidden file, or the directory itself.
    quoted = quote(text, safe="")
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{quoted[: _LONGEST_NAME - 33]}~{digest}"


def _read(path: Path) -> Note | None:
    """Return what is in a file, or None when that is not a note."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
            content = os.read(fd, _LARGEST) if regular else b""
        finally:
            os.close(fd)
        note = Note(**json.loads(content))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (note.node, note.address, note.birth)
    well_formed = all(isinstance(text, str) for text in texts) and type(note.os_pid) is int
    return note if well_formed and 0 < note.os_pid < 2**31 else None
