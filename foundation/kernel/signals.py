"""Links, monitors, exit signals and death.

A death is told to links and monitors from a queue, not by recursion, so a chain of ten
thousand linked processes dies without ten thousand stack frames.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.kernel.process import INFO, UNSET, Caller, Process, exit_message
from foundation.kernel.values import Crash, Down, ExitMsg, Pid, Ref

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel


class Signals:
    """The signal half of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._dead: deque[tuple[Process, Any]] = deque()
        self._telling = False

    # Links

    def link(self, process: Process, pid: Pid) -> None:
        """Link the local *process* with *pid*, dead or alive; idempotent."""
        if pid == process.pid:
            return
        if process.links is None:
            process.links = {}
        elif pid in process.links:
            return
        other = self._kernel.procs.get(pid)
        if other is not None:
            process.links[pid] = None
            if other.links is None:
                other.links = {}
            other.links[process.pid] = None
        elif pid.host == self._kernel.address:
            self.exit(process, pid, "noproc")
        else:
            process.links[pid] = None
            self._kernel.remote.link(process.pid, pid)

    def unlink(self, process: Process, pid: Pid) -> None:
        """Remove the link, both ends."""
        if process.links is None or pid not in process.links:
            return
        del process.links[pid]
        other = self._kernel.procs.get(pid)
        if other is not None:
            if other.links is not None:
                other.links.pop(process.pid, None)
        elif pid.host != self._kernel.address:
            self._kernel.remote.unlink(process.pid, pid)

    # Monitors

    def monitor(self, process: Process, target: Any, ref: Ref | None = None) -> Ref:
        """Have *process* told, once, when *target* (pid, name or via) ends."""
        ref = ref or self._kernel.new_ref()
        pid = self._kernel.resolve(target)
        if pid is None:
            self._notify(process, ref, target, "noproc")
            return ref
        other = self._kernel.procs.get(pid)
        if other is not None:
            if other.watchers is None:
                other.watchers = {}
            other.watchers[ref] = (process.pid, target)
        elif pid.host == self._kernel.address:
            self._notify(process, ref, target, "noproc")
            return ref
        else:
            self._kernel.remote.monitor(ref, process.pid, pid, target)
        if process.monitors is None:
            process.monitors = {}
        process.monitors[ref] = pid
        return ref

    def _notify(self, process: Process, ref: Ref, target: Any, reason: Any) -> None:
        self._kernel.deliver(process.pid, Down(ref, target, reason))

    def demonitor(self, process: Process, ref: Ref, flush: bool = False) -> bool:
        """Stop the monitor; True when it was live. *flush* removes a Down already queued."""
        live = self._drop_monitor(process, ref)
        if flush and not live:
            for item in list(process.mailbox):
                if type(item) is tuple and type(item[1]) is Down and item[1].ref == ref:
                    process.mailbox.remove(item)
                    break
        return live

    def _drop_monitor(self, process: Process, ref: Ref) -> bool:
        pid = process.monitors.pop(ref, None) if process.monitors is not None else None
        if pid is None:
            return False
        other = self._kernel.procs.get(pid)
        if other is not None:
            if other.watchers is not None:
                other.watchers.pop(ref, None)
        else:
            self._kernel.remote.demonitor(ref, process.pid, pid)
        return True

    def down(self, watcher: Pid, ref: Ref, target: Any, reason: Any) -> None:
        """Deliver a Down to the local *watcher*, if it still watches."""
        process = self._kernel.procs.get(watcher)
        if process is None or process.monitors is None or ref not in process.monitors:
            return
        del process.monitors[ref]
        self._kernel.deliver(watcher, Down(ref, target, reason))

    # Exit signals

    def signal(self, sender: Pid, pid: Pid, reason: Any) -> None:
        """Send the exit signal of ``exit(pid, reason)``."""
        process = self._kernel.procs.get(pid)
        if process is None:
            if pid.host != self._kernel.address:
                self._kernel.remote.exit(sender, pid, reason, linked=False)
        elif reason == "kill":
            self._hit(process, "killed")
        else:
            self.exit(process, sender, reason)

    def linked_exit(self, sender: Pid, pid: Pid, reason: Any) -> None:
        """The linked process *sender* has ended with *reason* (never kills like "kill")."""
        process = self._kernel.procs.get(pid)
        if process is None or process.links is None or sender not in process.links:
            return
        del process.links[sender]
        self.exit(process, sender, reason)

    def exit(self, process: Process, sender: Pid, reason: Any) -> None:
        """Apply an exit signal to the local *process*: a message, nothing, or its end."""
        if process.trapping:
            process.mailbox.append(exit_message(sender, reason))
            if sender == process.parent:
                process.set_extra("overtakers", True)  # a server that parks must look for it
            if process.idle:
                self._kernel.ready(process)
            elif process.waiting is not None:
                process.parked_message()
        elif reason != "normal":
            self._hit(process, reason)

    def _hit(self, process: Process, reason: Any) -> None:
        if process is self._kernel.running or process is self._kernel.stepping:
            # It is on the stack: it ends at the next boundary.
            process.exiting = reason
        else:
            self.die(process, reason)

    # Death

    def die(self, process: Process, reason: Any) -> None:
        """End *process*: names, callers, then links and monitors (K3)."""
        if process.state == "dead":
            return
        kernel = self._kernel
        process.state = "dead"
        process.idle = False
        if type(reason) is Crash:
            kernel.counts.crashes += 1
        token, process.waiting = process.waiting, None
        if getattr(token, "_asyncio_future_blocking", None) is not None:
            token.cancel()
        elif type(token) is Caller and token.ref:
            kernel.remote.forget_call(token)
        process.deadline = None
        if process.alarm_at is not None:
            kernel.timers.cancelled()
        kernel.procs.pop(process.pid, None)
        if process.name is not None:
            kernel.release_name(process.name, process.pid)
        for hook in process.get_extra("exit_hooks", ()):
            hook(process, reason)
        self._close_coroutine(process)
        kernel.acknowledge(process, False, reason)
        kernel.fail_callers(process, reason)
        self._dead.append((process, reason))
        if not self._telling:
            self._tell()

    def _close_coroutine(self, process: Process) -> None:
        coro, process.coro = process.coro, None
        if coro is None or process is self._kernel.stepping:
            return
        self._kernel.driver.unwind(process, coro)

    def _tell(self) -> None:
        self._telling = True
        try:
            while self._dead:
                self._tell_one(*self._dead.popleft())
        finally:
            self._telling = False

    def _tell_one(self, process: Process, reason: Any) -> None:
        kernel, pid = self._kernel, process.pid
        if process.monitors:
            for ref in list(process.monitors):
                self._drop_monitor(process, ref)
        links, process.links = process.links, None
        for other in links or ():
            if other in kernel.procs:
                self.linked_exit(pid, other, reason)
            elif other.host != kernel.address:
                kernel.remote.exit(pid, other, reason, linked=True)
        watchers, process.watchers = process.watchers, None
        for ref, (watcher, target) in (watchers or {}).items():
            if watcher.host == kernel.address:
                self.down(watcher, ref, target, reason)
            else:
                kernel.remote.down(watcher, ref, pid, target, reason)


def flush_exits(process: Process, pid: Pid) -> list[ExitMsg]:
    """Remove and return the EXIT messages of *pid* that wait in the mailbox."""
    found = [
        item
        for item in process.mailbox
        if type(item) is tuple and type(item[1]) is ExitMsg and item[1].pid == pid
    ]
    for item in found:
        process.mailbox.remove(item)
    return [item[1] for item in found]


__all__ = ["INFO", "UNSET", "Signals", "flush_exits"]
