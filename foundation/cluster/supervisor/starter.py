"""How a runner begins a start: in this host, in another, or by a start function."""

from __future__ import annotations

from typing import Any

from foundation.cluster.supervisor.managed_process import CHILD, STATE, ManagedProcess
from foundation.cluster.supervisor.runner_child import Attempt
from foundation.errors import StartError
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Caller, FunctionProcess, Process
from foundation.kernel.values import reason_of
from foundation.otp.server_process import ServerProcess
from foundation.otp.supervisor_process import pid_of, start_child


class Starter:
    """See the module docstring. The outcome goes to ``attempt.finished``, now or later.

    Args:
        kernel: of this host.
        name: of the supervisor.
        process: what children are linked to.
    """

    def __init__(self, kernel: Kernel, name: str, process: Process) -> None:
        self._kernel = kernel
        self._name = name
        self._process = process

    def begin(self, attempt: Attempt) -> None:
        """Begin the start."""
        spec = attempt.child.spec
        try:
            if getattr(spec.start[0], "__process_class__", None) is None:
                self._by_function(attempt)
            elif spec.isolation == "host":
                self._dedicated(attempt)
            elif spec.host in (None, "spread", "worker"):
                self._here(attempt)
            else:
                self._in_host(attempt, self._kernel.placer.place(spec.host))
        except Exception as error:
            attempt.finished(False, _reason(error))

    def _process_of(self, attempt: Attempt) -> tuple[Any, dict[str, Any]]:
        """Return the class of the process, and its extra."""
        child = attempt.child
        target = child.spec.start[0]
        extra: dict[str, Any] = {CHILD: (self._name, child.key, child.generation)}
        process_class = target.__process_class__  # type: ignore[attr-defined]
        state, child.state = child.state, None
        imports = process_class is ServerProcess and hasattr(target, "import_state")
        if state is not None and imports:
            extra[STATE] = attempt.state = state
            process_class = ManagedProcess
        return process_class, extra

    def _here(self, attempt: Attempt) -> None:
        kernel, child = self._kernel, attempt.child
        process_class, extra = self._process_of(attempt)
        target, args, kwargs = child.spec.start
        attempt.token = Caller(attempt, self._process.pid, self._process.pid, None)
        attempt.process = kernel.spawn(
            process_class,
            (target, kernel.isolate(args), kernel.isolate(kwargs)),
            parent=self._process,
            link=True,
            name=child.spec.name,
            starter=attempt.token,
            extra=extra,
        )

    def _in_host(self, attempt: Attempt, host: str) -> None:
        if host == self._kernel.address:
            self._here(attempt)
            return
        spec = attempt.child.spec
        process_class, extra = self._process_of(attempt)
        attempt.host = host
        request = (process_class.kind, spec.start, True, spec.name, extra)
        attempt.token = self._kernel.remote.spawn(host, attempt, self._process, request)

    def _dedicated(self, attempt: Attempt) -> None:
        async def find_host() -> None:
            try:
                host = await self._kernel.placer.dedicated(f"child {attempt.child.spec.id!r}")
                if attempt.current:
                    self._in_host(attempt, host)
            except Exception as error:
                attempt.finished(False, _reason(error))

        payload: Any = (find_host, (), {})
        attempt.helper = self._kernel.spawn(FunctionProcess, payload, parent=self._process)

    def _by_function(self, attempt: Attempt) -> None:
        """Run the start function in a process of its own, then take over the link."""
        signals = self._kernel.signals

        async def start() -> None:
            try:
                result = await start_child(attempt.child.spec)
            except StartError as error:
                attempt.finished(False, error.reason)
                return
            pid, helper = pid_of(result), attempt.helper
            if pid is not None and helper is not None:
                signals.link(self._process, pid)
                signals.unlink(helper, pid)
            attempt.finished(True, result)

        payload: Any = (start, (), {})
        attempt.helper = self._kernel.spawn(FunctionProcess, payload, parent=self._process)

    def abandon(self, attempt: Attempt) -> None:
        """End a start in flight; its outcome no longer matters."""
        kernel, me = self._kernel, self._process
        if attempt.token is not None:
            attempt.token.done = True
        if attempt.process is not None:
            kernel.signals.unlink(me, attempt.process.pid)
            kernel.signals.signal(me.pid, attempt.process.pid, "kill")
        elif attempt.host is not None and attempt.token is not None:
            kernel.remote.op(attempt.host, ("spawn_cancel", attempt.token.ref))
            kernel.remote.forget_call(attempt.token)
        elif attempt.helper is not None:
            kernel.signals.signal(me.pid, attempt.helper.pid, "kill")


def _reason(error: Exception) -> Any:
    return error.reason if isinstance(error, StartError) else reason_of(error)
