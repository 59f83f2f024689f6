"""Whom to join, when, and who is admitted.

Invariants:
    J1  Discovery only adds: nothing it says or leaves unsaid drops a member.
    J2  There are at most ``MOST_CANDIDATES`` candidates; one is dropped when it has become a
        member, or when nobody has named it for ``PATIENCE`` times ``Timing.rejoin_max`` and
        no silent or killed node is known at its address.
    J3  One name belongs to one live node: a second one at another address is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from foundation.cluster.membership.records import Record
from foundation.cluster.timing import Timing

MOST_CANDIDATES = 1024
MOST_ALIASES = 256
PATIENCE = 6
TEXTS_PER_ADDRESS = 8
UNHURRIED = 16

Versions = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node is not admitted.

    Attributes:
        code: ``"cluster"``, ``"version"``, ``"name"`` or ``"stale"``.
        text: for people: what is wrong and what to do.
        generation: the one known, when the joiner's is behind it.
    """

    code: str
    text: str
    generation: int = 0


def common_version(ours: Versions, theirs: Versions) -> int | None:
    """Return the newest protocol version that both speak, or None."""
    newest = min(ours[1], theirs[1])
    return newest if newest >= max(ours[0], theirs[0]) else None


def taken(name: str, address: str) -> Refusal:
    """Return why a node of that name is refused: the one at *address* has it (J3)."""
    return Refusal(
        "name",
        f"the name {name!r} is taken by the live node at {address}; "
        "give this node another name, or stop that one first",
    )


def admit(
    cluster: str, ours: Versions, known: Record | None, joiner: Record, theirs: Versions, name: str
) -> Refusal | None:
    """Return why *joiner* is refused, or None if it is admitted.

    Args:
        cluster: our cluster.
        ours: lowest and highest protocol version that we speak.
        known: what we know under the joiner's name.
        joiner: what it says of itself.
        theirs: lowest and highest version that it speaks.
        name: the cluster it wants to join.
    """
    if name != cluster:
        text = f"this is cluster {cluster!r}, not {name!r}; set the same cluster name on both"
        return Refusal("cluster", text)
    if common_version(ours, theirs) is None:
        return Refusal(
            "version",
            f"no common protocol version: this node speaks {ours[0]} to {ours[1]}, the other "
            f"{theirs[0]} to {theirs[1]}; upgrade the older one step by step",
        )
    if known is None:
        return None
    if known.live and known.address != joiner.address:
        return taken(joiner.name, known.address)
    if joiner.generation < known.generation:
        text = f"generation {known.generation} of {joiner.name!r} is known already"
        return Refusal("stale", text, known.generation)
    return None


@dataclass(slots=True)
class Candidate:
    """An address where a node may be.

    Attributes:
        address: as dialled.
        due: when to try next.
        interval: between the last try and the next; grows.
        named: when discovery named it last.
        texts: refusals that were reported already.
    """

    address: str
    due: float
    interval: float
    named: float = float("-inf")
    texts: tuple[str, ...] = ()


class Candidates:
    """The addresses to join: named by discovery, or of nodes that went silent or were killed."""

    def __init__(self, timing: Timing, rng: Random) -> None:
        self._timing = timing
        self._rng = rng
        self._candidates: dict[str, Candidate] = {}
        self._aliases: dict[str, str] = {}  # as dialled -> as its node calls itself

    def __len__(self) -> int:
        return len(self._candidates)

    def addresses(self) -> list[str]:
        """Return all of them."""
        return list(self._candidates)

    @property
    def next_due(self) -> float:
        """When the next try is due."""
        return min((c.due for c in self._candidates.values()), default=float("inf"))

    def canonical(self, address: str) -> str:
        """Return how the node that answers at *address* calls itself."""
        return self._aliases.get(address, address)

    def name(self, now: float, address: str) -> None:
        """Discovery, or a message, has named *address*: try it at once if it is new."""
        candidate = self._candidates.get(address)
        if candidate is None:
            candidate = self._add(address, now)
        candidate.named = now

    def rejoin(self, now: float, address: str) -> None:
        """A node at *address* went silent or was killed: try it again and again."""
        interval = self._timing.rejoin_interval
        candidate = self._candidates.get(address)
        if candidate is None:
            candidate = self._add(address, now)
        candidate.interval = interval
        candidate.due = now + interval * self._rng.uniform(0.5, 1.0)

    def _add(self, address: str, due: float) -> Candidate:
        if len(self._candidates) >= MOST_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        candidate = Candidate(address, due, self._timing.rejoin_interval)
        self._candidates[address] = candidate
        return candidate

    def at_once(self, now: float, address: str) -> None:
        """Try *address* again without delay."""
        if address in self._candidates:
            self._candidates[address].due = now

    def answered(self, dialled: str, address: str) -> None:
        """The node that calls itself *address* answered at *dialled*."""
        self.drop(dialled)
        self.drop(address)
        if dialled != address:
            if len(self._aliases) >= MOST_ALIASES:
                del self._aliases[next(iter(self._aliases))]
            self._aliases[dialled] = address

    def drop(self, address: str) -> None:
        """Try *address* no more."""
        self._candidates.pop(address, None)

    def refused(self, address: str, text: str) -> bool:
        """Note a refusal; return whether it is to be reported, once per address and text."""
        candidate = self._candidates.get(address)
        if candidate is None or text in candidate.texts:
            return False
        candidate.texts = (*candidate.texts, text)[-TEXTS_PER_ADDRESS:]
        return True

    def due(self, now: float) -> list[Candidate]:
        """Return those to try now, and set when they are tried next."""
        due = [c for c in self._candidates.values() if c.due <= now]
        for candidate in due:
            longest = self._longest(now, candidate)
            candidate.due = now + candidate.interval * self._rng.uniform(0.75, 1.0)
            candidate.interval = min(candidate.interval * 2, longest)
        return due

    def _longest(self, now: float, candidate: Candidate) -> float:
        """The longest interval: so that hundreds of dead addresses are tried unhurriedly."""
        if self.named_lately(now, candidate):
            return self._timing.rejoin_max
        return self._timing.rejoin_max * max(1.0, len(self._candidates) / UNHURRIED)

    def named_lately(self, now: float, candidate: Candidate) -> bool:
        """Whether discovery still names it."""
        return now - candidate.named <= PATIENCE * self._timing.rejoin_max

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        assert len(self._candidates) <= MOST_CANDIDATES
        assert len(self._aliases) <= MOST_ALIASES
        for address, candidate in self._candidates.items():
            assert candidate.address == address
            assert candidate.interval > 0
