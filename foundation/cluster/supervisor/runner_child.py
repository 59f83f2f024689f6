"""One child as its runner sees it, while it starts and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.errors import CallExit
from foundation.kernel.process import Caller, Process
from foundation.kernel.values import Pid, Ref
from foundation.otp.child_spec import ChildSpec
from foundation.otp.restart_window import RestartWindow

if TYPE_CHECKING:
    from foundation.cluster.supervisor.runner import Runner

STARTING, RUNNING, ENDING = "starting", "running", "ending"
PATIENCE = 50  # attempts to get a name that is held


class RunnerChild:
    """See the module docstring.

    Attributes:
        first: somebody waits for this start, and is told when it fails.
        arrives: it was moved here, and goes back when it does not start.
        leased: it must end when the lease of this node does.
        patience: so many more attempts to get its name.
        export: its state is asked for when it ends.
        stays: it does not end if its state cannot be exported.
        watch: the monitor that tells of its end.
        note: how it goes on after a move, for people.
        state: what it is to import, or has exported, encoded.
        no_state: why its state could not be exported.
    """

    __slots__ = (
        "arrives", "attempt", "export", "first", "generation", "key", "leased", "no_state", "note",
        "patience", "pid", "spec", "stage", "state", "stays", "timer", "watch", "window",
    )  # fmt: skip

    def __init__(
        self, key: bytes, generation: int, spec: ChildSpec, limits: tuple[int, float]
    ) -> None:
        self.key = key
        self.generation = generation
        self.spec = spec
        self.window = RestartWindow(*limits)
        self.stage = STARTING
        self.pid: Pid | None = None
        self.attempt: Attempt | None = None
        self.timer: Any = None
        self.first = False
        self.arrives = False
        self.leased = False
        self.export = False
        self.stays = False
        self.watch: Ref | None = None
        self.note = ""
        self.patience = PATIENCE
        self.state: bytes | None = None
        self.no_state: Any = "it has ended before, or was given no more time"

    def cancel_timer(self) -> None:
        """What it had time for is done."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Attempt:
    """A start in flight, and the sink of its outcome; *state* is what it is to import."""

    __slots__ = ("child", "helper", "host", "process", "runner", "state", "token")

    def __init__(self, runner: Runner, child: RunnerChild) -> None:
        self.runner = runner
        self.child = child
        self.process: Process | None = None  # when it starts in this host
        self.host: str | None = None  # when it starts in another
        self.helper: Process | None = None  # runs a start function, or waits for a host
        self.token: Caller | None = None
        self.state: bytes | None = None

    @property
    def current(self) -> bool:
        """Whether the outcome still matters."""
        return self.child.attempt is self

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Take the outcome; runs in the child's slice, or when a frame came."""
        if not ok and isinstance(value, CallExit):
            value = value.reason
        self.runner.attempted(self, ok, value)

    def finished(self, ok: bool, value: Any) -> None:
        """Take the outcome."""
        self.runner.attempted(self, ok, value)


class Reply:
    """The sink of one call that the runner makes."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[bool, Any], None]) -> None:
        self._done = done

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Take the answer."""
        self._done(ok, value)
