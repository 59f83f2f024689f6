"""How fast the cluster notices things. All in seconds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of failure detection and take-over; the defaults are for a LAN.

    All are finite numbers above 0.

    Attributes:
        probe_interval: between two probes of one node, each of a different member (SWIM's T').
        probe_timeout: for the answer to a probe, before others are asked to probe too.
        indirect_probes: how many others are asked (SWIM's k); an int.
        suspicion_min: a suspected node is declared down after this, once enough others
            have confirmed the suspicion (Lifeguard).
        suspicion_max: the same when nobody has.
        gossip_interval: between two rounds of news when there is any that probes do not carry.
        push_pull_interval: between two exchanges of all that is known with one random member.
        rejoin_interval: between attempts to reach candidates and members that went silent;
            grows up to ``rejoin_max`` for each of them.
        rejoin_max: see ``rejoin_interval``.
        forget: after this a node that went down is no longer remembered.
        lease: work that must not run in a minority ends when a node has not been heard by a
            majority for so long.
        takeover: such work of a node that went silent starts elsewhere so long after the others
            agreed that it is gone; above ``lease`` by the time that ending takes.

    Raises:
        ValueError: one is wrong, or two do not fit together.
    """

    probe_interval: float = 0.4
    probe_timeout: float = 0.25
    indirect_probes: int = 3
    suspicion_min: float = 1.0
    suspicion_max: float = 1.4
    gossip_interval: float = 0.1
    push_pull_interval: float = 15.0
    rejoin_interval: float = 0.5
    rejoin_max: float = 10.0
    forget: float = 3600.0
    lease: float = 1.2
    takeover: float = 1.8

    def __post_init__(self) -> None:
        for field in self.__dataclass_fields__:
            value = getattr(self, field)
            if not is_number(value) or value <= 0:
                raise ValueError(f"Timing.{field} must be a finite number above 0, got {value!r}")
        if not isinstance(self.indirect_probes, int):
            raise ValueError(
                f"Timing.indirect_probes must be a whole number, got {self.indirect_probes!r}"
            )
        if self.suspicion_max < self.suspicion_min:
            raise ValueError(
                f"Timing.suspicion_max ({self.suspicion_max}) must not be below suspicion_min "
                f"({self.suspicion_min})"
            )
        if self.takeover <= self.lease:
            raise ValueError(
                f"Timing.takeover ({self.takeover}) must be above lease ({self.lease}): else a "
                "second copy starts before the first has ended"
            )


def is_number(value: Any) -> bool:
    """Whether *value* is a finite int or float; a bool is none, nor an int beyond all floats."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


LAN = Timing()
