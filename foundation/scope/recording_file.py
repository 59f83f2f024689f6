"""The file of a recording: a header and a record for each step, by the kernel's codec.

A record is written as soon as its step is over, and a file that ends in the middle of one is read
up to there: the recording of a process that was killed can be replayed.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.errors import CodecError, ReplayError, ScopeError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.values import Pid
from foundation.scope.packing import Packed

MAGIC = b"foundation replay 2\n"
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording begins with.

    Attributes:
        server: the class, packed.
        class_name: for people.
        pid: of the process.
        name: it was registered under, or None.
        args: of its ``init``, packed, when it was recorded from its start; else None.
        kwargs: likewise.
        state: its attributes when the recording began, packed, when it ran already; else None.
    """

    server: Packed
    class_name: str
    pid: Pid
    name: Any
    args: Packed | None
    kwargs: Packed | None
    state: dict[str, Packed] | None


@dataclass(slots=True)
class Record:
    """One step of a recording.

    Attributes:
        number: from 1; 0 is ``init``.
        kind: ``"init"``, ``"call"``, ``"cast"``, ``"info"``; ``"tasks"`` what asyncio tasks and
            timers did between two messages; ``"state"`` where a system request changed the
            state; ``"end"`` where the process ended between two messages.
        sender: of a call.
        message: packed.
        at: seconds since the beginning.
        facts: what the server did and learned, in order: ``[what, about, …]``.
        changed: the attributes that were set or changed, packed.
        gone: the attributes that were deleted.
        end: the reason as text, when the process ended in this step.
    """

    number: int
    kind: str
    sender: Pid | None
    message: Packed
    at: float
    facts: list[list[Any]] = field(default_factory=list)
    changed: dict[str, Packed] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    end: str | None = None


class Writer:
    """Writes a recording.

    Args:
        path: of the file, which must not exist.
        limit: bytes at which it ends.

    Raises:
        ScopeError: the file cannot be made.
    """

    def __init__(self, path: str, limit: int) -> None:
        self._left = limit
        self._file = -1
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ScopeError(f"the recording {path!r} cannot be made: {error.strerror}") from None
        os.write(self._file, MAGIC)

    def header(self, header: Header) -> None:
        """Write the header."""
        self._write(_fields(header))

    def record(self, record: Record) -> bool:
        """Write a step; False when the file is full, and closed."""
        return self._write(_fields(record))

    def _write(self, value: list[Any]) -> bool:
        data = dumps(value)
        self._left -= len(data) + _LENGTH.size
        if self._file < 0 or self._left < 0:
            self.close()
            return False
        left = memoryview(_LENGTH.pack(len(data)) + data)
        while left:
            left = left[os.write(self._file, left) :]
        return True

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:  # its process was abandoned, with its host
        self.close()


def _fields(value: Any) -> list[Any]:
    return [getattr(value, name) for name in value.__slots__]


def load(path: str | Path) -> tuple[Header, list[Record]]:
    """Return what is in a file.

    Raises:
        ReplayError: it cannot be read, or is no recording.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ReplayError(f"the recording {str(path)!r} cannot be read: {error.strerror}") from None
    if not data.startswith(MAGIC) and data.startswith(MAGIC.rpartition(b" ")[0]):
        raise ReplayError(
            f"{str(path)!r} was made by another version of foundation; replay it with that one, or "
            "record anew"
        )
    if not data.startswith(MAGIC):
        raise ReplayError(f"{str(path)!r} is no recording of a server (see scope.record)")
    parts: list[Any] = []
    place = len(MAGIC)
    while place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            break  # its process was killed while it wrote this
        try:
            parts.append(loads(data[place : place + length]))
        except CodecError as error:
            raise ReplayError(f"{str(path)!r} is damaged: {error}") from None
        place += length
    if not parts:
        raise ReplayError(f"{str(path)!r} ends before its header is whole")
    try:
        return Header(*parts[0]), [Record(*part) for part in parts[1:]]
    except TypeError as error:
        raise ReplayError(f"{str(path)!r} was made by another version: {error}") from None
