"""Mutual proof of the cookie, as a state machine without I/O.

The dialler speaks first; L and D are random nonces of 32 bytes::

    dialler  -> CHALLENGE  magic | D
    listener -> RESPONSE   L | HMAC(cookie, "foundation/1 listener" | D | L)
    dialler  -> PROOF      HMAC(cookie, "foundation/1 dialler"  | D | L)

The role tags keep a peer from answering a challenge with an echo of it. Nothing here
decodes anything but fixed-size byte strings.
"""

from __future__ import annotations

import hmac
import secrets

MAGIC = b"FNDN\x00\x01"
NONCE = 32
DIGEST = 32
MAX_PAYLOAD = 128


class HandshakeError(Exception):
    """The peer does not follow the protocol."""


class WrongCookie(HandshakeError):
    """The peer follows the protocol and does not know our cookie."""


class Handshake:
    """One side of the exchange.

    Args:
        cookie: the shared secret.
        dialler: True on the side that opened the connection.
        nonce: for tests; random by default.
    """

    __slots__ = ("_cookie", "_nonce", "_peer_nonce", "dialler", "done")

    def __init__(self, cookie: bytes, *, dialler: bool, nonce: bytes | None = None) -> None:
        self._cookie = cookie
        self._nonce = secrets.token_bytes(NONCE) if nonce is None else nonce
        self._peer_nonce = b""
        self.dialler = dialler
        self.done = False

    def start(self) -> bytes:
        """The dialler's first payload."""
        return MAGIC + self._nonce

    def feed(self, payload: bytes) -> bytes | None:
        """Take one payload of the peer; return the answer to send, if there is one.

        Raises:
            WrongCookie: the peer's proof is wrong.
            HandshakeError: anything else that is not the protocol.
        """
        if self.done:
            raise HandshakeError("the handshake is over")
        if self.dialler:
            return self._take_response(payload)
        if not self._peer_nonce:
            return self._take_challenge(payload)
        self._check(payload, "dialler")
        return None

    def _take_challenge(self, payload: bytes) -> bytes:
        if len(payload) != len(MAGIC) + NONCE or not payload.startswith(MAGIC):
            raise HandshakeError("not a challenge")
        self._peer_nonce = payload[len(MAGIC) :]
        return self._nonce + self._proof("listener")

    def _take_response(self, payload: bytes) -> bytes:
        if len(payload) != NONCE + DIGEST:
            raise HandshakeError("not a response")
        self._peer_nonce = payload[:NONCE]
        self._check(payload[NONCE:], "listener")
        return self._proof("dialler")

    def _check(self, proof: bytes, role: str) -> None:
        if not hmac.compare_digest(proof, self._proof(role)):
            raise WrongCookie("the peer does not know our cookie")
        self.done = True

    def _proof(self, role: str) -> bytes:
        nonces = self._nonce + self._peer_nonce
        if not self.dialler:
            nonces = self._peer_nonce + self._nonce
        text = b"foundation/1 " + role.encode() + nonces
        return hmac.digest(self._cookie, text, "sha256")
