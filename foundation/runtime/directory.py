"""Which nodes run on this machine, so that ``foundation top`` can find them.

Each node with hosts writes one small file, readable by its user only, and removes it when it
ends. A file whose program is gone is stale: ignored, and removed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from foundation.errors import NodeError

log = logging.getLogger("foundation")


@dataclass(frozen=True)
class Entry:
    """How to reach a node.

    Attributes:
        name: of the node.
        os_pid: of the program that started it.
        host, port, incarnation: transport address of its control host.
        birth: when the program began, since its pid may be used again; ``announce`` adds it.
    """

    name: str
    os_pid: int
    host: str
    port: int
    incarnation: int
    birth: str = ""


def folder() -> Path:
    """Return the directory of the entries, made when missing; only this user may enter."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = (
        Path(base) / "foundation"
        if base and os.path.isdir(base)
        else Path(tempfile.gettempdir()) / f"foundation-{os.getuid()}"
    )
    path.mkdir(mode=0o700, exist_ok=True)
    state = path.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise NodeError(f"{path} must belong to this user alone (mode 0700)")
    return path


def announce(entry: Entry) -> Path | None:
    """Write the file of a node.

    Returns:
        Its path, for ``withdraw``; None when it could not be written. A node does not fail for
        that: it only cannot be looked at.
    """
    try:
        path = folder() / f"{entry.name}-{entry.os_pid}.json"
        scratch = path.with_name(f"{path.name}.new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            json.dump(asdict(replace(entry, birth=birth(entry.os_pid))), file)
        os.replace(scratch, path)
    except (OSError, NodeError) as error:
        log.warning("`foundation top` will not find node %r: %s", entry.name, error)
        return None
    return path


def withdraw(path: Path) -> None:
    """Remove the file of a node that ends."""
    with contextlib.suppress(OSError):
        path.unlink()


def entries() -> list[Entry]:
    """Return the nodes that run, by name."""
    found = []
    for path in sorted(folder().glob("*.json")):
        try:
            entry = Entry(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if runs(entry.os_pid, entry.birth):
            found.append(entry)
        else:
            withdraw(path)
    return found


def find(name: str | None = None) -> Entry:
    """Return the node called *name*, or the only one there is.

    Raises:
        NodeError: there is none, or there are several; or the directory is not private.
    """
    running = entries()
    matching = [entry for entry in running if name is None or entry.name == name]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(entry.name for entry in running)
    if not running:
        raise NodeError(
            "no node with hosts runs on this machine for this user; start one with "
            "`foundation run module:App` (a node with hosts=0 lives inside its program and "
            "cannot be looked at from outside)"
        )
    if not matching:
        raise NodeError(f"there is no node {name!r}; running: {names}")
    raise NodeError(f"several nodes run: {names}; choose one with --node NAME")


def birth(os_pid: int) -> str:
    """Return when a process began, in the kernel's ticks; "" where there is no ``/proc``."""
    try:
        # The second field is a name in parentheses, which may contain anything.
        return Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def runs(os_pid: int, born: str) -> bool:
    """Whether the process that had that pid, and began then, still runs."""
    try:
        os.kill(os_pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the pid of another user's process by now
    return born == birth(os_pid)
