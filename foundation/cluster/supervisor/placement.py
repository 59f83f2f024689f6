"""Which node is to run a child: rendezvous hashing over the nodes that may (pure).

A node may when it runs the supervisor, does not drain, and has the labels that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foundation.cluster.rendezvous import owner
from foundation.cluster.values import Labels, Member, View


@dataclass(frozen=True, slots=True)
class Candidates:
    """The nodes that run one supervisor, in one epoch.

    Attributes:
        members: those that do not drain, by name.
        draining: names of those that do.
    """

    members: tuple[Member, ...]
    draining: tuple[str, ...] = ()

    def eligible(self, labels: Labels) -> list[str]:
        """Return the nodes that may run a child that asks for *labels*."""
        if not labels:
            return [member.name for member in self.members]
        return [m.name for m in self.members if has_labels(m, labels)]

    def without(self, nodes: Iterable[str]) -> Candidates:
        """Return what is left when *nodes* are gone or drain."""
        gone = tuple(nodes)
        return Candidates(
            tuple(m for m in self.members if m.name not in gone),
            self.draining,
        )

    def owner(self, key: bytes, labels: Labels, prefers: str = "") -> str | None:
        """Return the node that is to run the child *key*; None when none may.

        Parts of a partitioned child are spread one by one, like all others. The node that it
        *prefers*, where it was moved on request, comes first.
        """
        return self.preferred(labels, prefers) or owner(key, self.eligible(labels))

    def preferred(self, labels: Labels, prefers: str) -> str:
        """Return the node that a child *prefers*, if that may run it; or ``""``."""
        return prefers if prefers and prefers in self.eligible(labels) else ""


def candidates(view: View, running: Iterable[str]) -> Candidates:
    """Return the candidates among the members of *view* on which the supervisor is *running*."""
    names = dict.fromkeys(running)
    here = [m for m in view.members if m.name in names]
    return Candidates(
        tuple(m for m in here if not m.draining), tuple(m.name for m in here if m.draining)
    )


def has_labels(member: Member, labels: Labels) -> bool:
    """Whether *member* has all *labels*."""
    own = dict(member.labels)
    return all(own.get(key) == value for key, value in labels)


def explain_none(found: Candidates, labels: Labels, supervisor: str) -> str:
    """Say why no node may run a child."""
    names = [member.name for member in found.members]
    if not names:
        drains = f" ({', '.join(found.draining)} drain)" if found.draining else ""
        return f"no node runs the distributed supervisor {supervisor!r}{drains}"
    wanted = ", ".join(f"{key}={value}" for key, value in labels)
    return f"none of the nodes {', '.join(names)} has the labels {wanted}"
