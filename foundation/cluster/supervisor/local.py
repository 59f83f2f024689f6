"""What the agent of a node knows of one child that the node has."""

from __future__ import annotations

from foundation.cluster.supervisor.records import ALIVE, Entry, Record, Version
from foundation.kernel.values import Pid
from foundation.otp.restart_window import RestartWindow

RETRY_FIRST, RETRY_MOST = 30.0, 600.0  # seconds that a quarantined child waits
LOST_HOSTS = (4, 60.0)  # so many worker hosts in so many seconds may die under one child


class Local:
    """See the module docstring. ``entry`` is what the other nodes see of it.

    Attributes:
        host: the worker host whose runner has it.
        state: exported by its former self, encoded, until a start has succeeded with it.
        failures: how often it was quarantined.
        lost: the worker hosts that died under it, perhaps by its doing.
        retry_at: when it is tried again.
        offered: it is being offered to another node.
        taken: another node has passed it on, and it has not run here since.
        arrives: it starts here since a request moved it here; if it cannot, it goes back.
        tried: version of the record by which it was last started, or told to move.
        failed: the version of the record by which it should be on another node, or here, and cannot
            be; and why.
    """

    __slots__ = (
        "arrives", "failed", "failures", "generation", "host", "lost", "note", "offered", "pid",
        "retry_at", "state", "status", "taken", "tried", "version",
    )  # fmt: skip

    def __init__(self, status: str, generation: int, version: Version) -> None:
        self.status = status
        self.generation = generation
        self.version = version
        self.note = ""
        self.pid: Pid | None = None
        self.host: str | None = None
        self.state: bytes | None = None
        self.failures = 0
        self.lost = RestartWindow(*LOST_HOSTS)
        self.retry_at = 0.0
        self.offered = False
        self.taken = False
        self.arrives = False
        self.tried = version
        self.failed: tuple[Version, str] | None = None

    @property
    def alive(self) -> bool:
        """Whether a process may be there."""
        return self.status in ALIVE

    def failed_by(self, record: Record | None) -> str:
        """Say why it cannot be where *record* says; ``""`` when that is not known."""
        found = self.failed
        return found[1] if found and record is not None and found[0] == record.version else ""

    @property
    def entry(self) -> Entry:
        """Return it as the other nodes see it."""
        return Entry(self.status, self.generation, self.pid, self.version, self.note)

    def quarantine(self, now: float) -> float:
        """Wait, longer each time; return how long."""
        delay: float = min(RETRY_MOST, RETRY_FIRST * 2**self.failures)
        self.failures += 1
        self.retry_at = now + delay
        return delay
