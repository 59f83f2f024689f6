"""What kernels and servers tell the log, as values; the runtime turns them into log records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foundation.kernel.values import Pid


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A process ended for a reason that is not clean (OTP's crash and error reports in one)."""

    pid: Pid
    name: Any
    kind: str
    reason: Any
    last_message: str = ""
    state: str = ""
    client: Pid | None = None
    ancestors: tuple[Any, ...] = ()
    callers: tuple[Pid, ...] = ()


@dataclass(frozen=True, slots=True)
class SupervisorReport:
    """A supervisor saw a child end or fail to start."""

    supervisor: Any
    context: str
    reason: Any
    child: str
    pid: Pid | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Anything else worth a log line; *level* is one of ``debug info warning error``."""

    level: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
