"""What the nodes tell each other about distributed registries: names of tables, their entries.

    ========================  =======================================  =====================
    table                     key                                      value
    ========================  =======================================  =====================
    ``"registries"``          name of a registry                       (keys, on_conflict)
    ``"reg.era"``             an epoch                                 a number, ``arbiter.py``
    ``"reg:<name>"``, unique  bytes of the key                         (pid, token, bytes of
                                                                       the value)
    duplicate                 (bytes of the key, pid, running number)  bytes of the value
    ========================  =======================================  =====================
"""

from __future__ import annotations

from typing import NamedTuple

from foundation.cluster.rendezvous import owner

DECLARED = "registries"
ERA = "reg.era"


class Options(NamedTuple):
    """How a registry is declared; must be the same on all nodes.

    Attributes:
        keys: ``"unique"`` or ``"duplicate"``.
        on_conflict: ``"exit"`` or ``"message"``: how the loser of a unique key is told.
    """

    keys: str = "unique"
    on_conflict: str = "exit"

    @property
    def unique(self) -> bool:
        """Whether a key has one holder."""
        return self.keys == "unique"


def table_of(registry: str) -> str:
    """Return the name of the table with the entries of *registry*."""
    return f"reg:{registry}"


def arbiter_of(registry: str, key: bytes, nodes: tuple[str, ...]) -> str:
    """Return which of *nodes* decides who gets a unique key."""
    found = owner(registry.encode() + b"\0" + key, nodes)
    assert found is not None  # this node is one of them
    return found
