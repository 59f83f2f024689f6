"""Who is responsible for a key: rendezvous hashing (Thaler and Ravishankar, 1998).

Every node computes the same from the same members; when one goes, only its keys move, evenly
to all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=1000)
def _salt(node: str) -> bytes:
    return hashlib.blake2b(node.encode(), digest_size=32).digest()


def score(key: bytes, node: str) -> int:
    """Return the weight of *node* for *key*."""
    digest = hashlib.blake2b(key, digest_size=8, key=_salt(node))
    return int.from_bytes(digest.digest(), "big")


def owner(key: bytes, nodes: Iterable[str]) -> str | None:
    """Return the one of *nodes* that is responsible for *key*; None when there is none."""
    return max(nodes, key=lambda node: (score(key, node), node), default=None)


def ranked(key: bytes, nodes: Iterable[str]) -> list[str]:
    """Return *nodes* in the order in which they would be responsible for *key*."""
    return sorted(nodes, key=lambda node: (score(key, node), node), reverse=True)
