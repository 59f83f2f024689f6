"""Frames on a connection, without I/O.

A frame is ``length (4) | acknowledged (4) | kind (1) | payload``. *acknowledged* says how many
further messages of the peer were handled. It sits in every header, so that an answer and
the acknowledgement of its question arrive together or not at all.
"""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct("!IIB")
HEADER_SIZE: Final = HEADER.size
pack_header = HEADER.pack
_unpack = HEADER.unpack_from

# The order matters: a reader tests `kind <= PICKLE` for "a message".
BYTES: Final = 0  # payload is the message
PICKLE: Final = 1  # payload is the pickled message
ACK: Final = 2  # no payload, only the header's count
NAK: Final = 3  # payload: 4 bytes, so many messages will never be handled
HELLO: Final = 4  # who I am, whom I want
REFUSE: Final = 5  # the one you want is not here
BYE: Final = 6  # nothing more will come from me
AUTH: Final = 7  # a step of the handshake
REJECT: Final = 8  # your cookie is wrong
LAST_KIND: Final = REJECT

COUNT: Final = struct.Struct("!I")


class WireError(Exception):
    """The bytes are not frames, or a frame is longer than allowed."""


def frame(kind: int, payload: bytes = b"", acknowledged: int = 0) -> bytes:
    """One frame as bytes."""
    return pack_header(len(payload), acknowledged, kind) + payload


class Decoder:
    """Cuts a byte stream into frames.

    Attributes:
        limit: bytes allowed in one payload; raised once the peer is authenticated.
    """

    __slots__ = ("_buffer", "_need", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._need = HEADER_SIZE

    def feed(self, data: bytes, at_most: int = -1) -> list[tuple[int, int, bytes]]:
        """Add *data*, return complete frames as ``(kind, acknowledged, payload)``.

        Args:
            data: what arrived.
            at_most: stop after so many frames and keep the rest; negative: all of them.

        Raises:
            WireError: the stream is broken; it cannot be used any more.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._need:
                return []
            data = bytes(buffer)
            buffer.clear()
        frames: list[tuple[int, int, bytes]] = []
        position, size, limit = 0, len(data), self.limit
        need = HEADER_SIZE
        while len(frames) != at_most and position + HEADER_SIZE <= size:
            length, acknowledged, kind = _unpack(data, position)
            if length > limit or kind > LAST_KIND:
                raise WireError(f"kind {kind} with {length} bytes where {limit} are allowed")
            end = position + HEADER_SIZE + length
            if end > size:
                need = HEADER_SIZE + length
                break
            frames.append((kind, acknowledged, data[position + HEADER_SIZE : end]))
            position = end
        if position < size:
            buffer += data[position:] if position else data
        self._need = need if len(frames) != at_most else 0
        return frames
