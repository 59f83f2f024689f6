"""The process that children are linked to: it only passes on what it is told.

It stands for the supervisor's server, which lives in the control host and runs no user code;
tools show the children below that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.kernel.kernel import Kernel
from foundation.kernel.process import SYS, Caller, Process
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.supervisor.runner import Runner


class RunnerProcess(Process):
    """See the module docstring. It lives as long as its host."""

    __slots__ = ("_runner",)

    kind = "runner"

    def __init__(self, kernel: Kernel, pid: Pid, parent: Pid | None, payload: Runner) -> None:
        super().__init__(kernel, pid, parent)
        self._runner = payload
        self.trapping = True

    def run(self) -> None:
        """Pass on what is in the mailbox."""
        self.state = "running"
        mailbox = self.mailbox
        budget = self.kernel.budget
        while mailbox and budget:
            budget -= 1
            item: Any = mailbox.popleft()
            if type(item) is Caller:
                self.kernel.answer(item, False, "noproc")
            elif item[0] == SYS:
                self.kernel.answer(item[1], False, "noproc")
            else:
                self._runner.told(item[1])
        if mailbox:
            if not self.queued:
                self.kernel.ready(self)
        else:
            self.idle = True
