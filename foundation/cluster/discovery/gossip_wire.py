"""The datagrams of ``UdpGossip``: pure functions.

A datagram is ``FND1``, an HMAC-SHA256 of all that follows it and of the mark itself, and a msgpack
array of cluster, address, nonce and timestamp. Nothing is decoded before its HMAC is right, and
nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import msgpack

LARGEST = 1200  # bytes of a datagram; passes every network in one piece
_MARK = b"FND1"
_MAC_BYTES = 32
_HEAD = len(_MARK) + _MAC_BYTES


class NotAuthentic(ValueError):
    """The sender does not know the secret."""


class Malformed(ValueError):
    """This is no datagram of ours."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One sign of life.

    Attributes:
        cluster: name of the sender's cluster.
        address: of the sender's cluster endpoint.
        nonce: random; makes each datagram differ.
        timestamp: the sender's wall clock, in seconds since 1970.
    """

    cluster: str
    address: str
    nonce: bytes
    timestamp: float


def derive_key(secret: bytes) -> bytes:
    """Return the key of the HMACs: its own, since *secret* may serve other purposes too."""
    return hmac.digest(secret, b"foundation discovery by UDP gossip, version 1", hashlib.sha256)


def seal(key: bytes, heartbeat: Heartbeat) -> bytes:
    """Return the datagram of *heartbeat*.

    Raises:
        ValueError: it would be too large.
    """
    body: bytes = msgpack.packb(
        [heartbeat.cluster, heartbeat.address, heartbeat.nonce, heartbeat.timestamp]
    )
    datagram = _MARK + _mac(key, body) + body
    if len(datagram) > LARGEST:
        raise ValueError(
            f"the heartbeat would have {len(datagram)} bytes, {LARGEST} are allowed: shorten the "
            "name of the cluster"
        )
    return datagram


def unseal(key: bytes, datagram: bytes) -> Heartbeat:
    """Return the heartbeat in a datagram.

    Raises:
        Malformed: it is not one of ours, too large, or its content is not what it should be.
        NotAuthentic: it was made with another secret.
    """
    if not _HEAD < len(datagram) <= LARGEST or not datagram.startswith(_MARK):
        raise Malformed("not a heartbeat of this version")
    mac, body = datagram[len(_MARK) : _HEAD], datagram[_HEAD:]
    if not hmac.compare_digest(mac, _mac(key, body)):
        raise NotAuthentic("made with another secret")
    try:
        fields = msgpack.unpackb(body)
        heartbeat = Heartbeat(*fields)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise Malformed(f"a content that cannot be read: {error}") from None
    types = (str, str, bytes, float)
    if not isinstance(fields, list) or tuple(map(type, fields)) != types:
        raise Malformed("fields of other types than agreed")
    return heartbeat


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _MARK + body, hashlib.sha256)
