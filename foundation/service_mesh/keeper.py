"""The keeper of an instance: a light process beside it that looks after its entry.

It makes the health checks and sees to the ttl. It lives in the host of the instance and ends with
it, so a check that blocks or leaks harms nobody else, and the control host runs none. When the
registry of services of this node is started anew, it registers the instance again.

A direct ``registry.unregister`` of the instance ends its keeper, too, but that notices it only at
the next check, renewal or end of the ttl; ``service_mesh.deregister`` ends it at once.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from foundation.cluster import registry as reg
from foundation.errors import FoundationError, NotRegistered
from foundation.kernel import ops
from foundation.kernel.process import Process
from foundation.kernel.reports import Notice
from foundation.kernel.timers import Timer
from foundation.kernel.values import Down, ExitMsg, Pid
from foundation.otp import GenServer, Stop
from foundation.service_mesh.core import core_of
from foundation.service_mesh.health import Health
from foundation.service_mesh.values import REGISTRY, HealthCheck, ServiceEntry

RENEW = "renew"
AGAIN = 0.2  # seconds from one attempt to register again to the next

_CHECK, _LATE, _EXPIRED, _REGISTER = "check", "late", "expired", "register"


class Keeper(GenServer):
    """See the module docstring. ``call(keeper, RENEW)`` begins the ttl anew."""

    def init(
        self,
        name: str,
        pid: Pid,
        entry: ServiceEntry,
        check: HealthCheck | None,
        ttl: float | None,
    ) -> None:
        """Look after *pid*, which has *entry* under *name*."""
        process = ops.current()
        self.name = name
        self.pid = pid
        self.entry = entry
        self.check = check
        self.ttl = ttl
        self.health = Health(check.strikes if check else 1)
        self.checker: Pid | None = None
        self.expiry: Timer | None = None
        ops.trap_exit()
        self.service = ops.monitor(pid)
        self.registry = ops.monitor(REGISTRY)
        self._enlist(process)
        if check is not None:
            ops.send_after(check.first_after, process.pid, _CHECK)
        self._begin_ttl()

    def _enlist(self, process: Process) -> None:
        keepers = core_of(process.kernel).keepers
        slot = (self.name, self.pid)
        keepers[slot] = process.pid

        def ends(process: Process, reason: Any) -> None:
            if keepers.get(slot) == process.pid:
                del keepers[slot]

        process.add_exit_hook(ends)

    def _begin_ttl(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        if self.ttl is not None:
            self.expiry = ops.send_after(self.ttl, ops.me(), _EXPIRED)

    def _mine(self) -> bool:
        """Whether the entry is there, and not another of the same process."""
        index = core_of(ops.current().kernel).index()
        values = [index.entry(record).value for record in index.own(self.name, self.pid)]
        return any(getattr(value, "order", None) == self.entry.order for value in values)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Renew; the answer is False when the instance is not registered any more."""
        if request != RENEW:
            return super().handle_call(request, caller)
        try:
            if not self._mine():
                return Stop("normal", reply=False)
        except FoundationError:
            pass  # the registry is being started; the instance comes back with it
        self._begin_ttl()
        return True

    async def handle_info(self, message: Any) -> Any:
        """Do what is due."""
        match message:
            case Down(ref=ref) if ref == self.service:
                return Stop("normal")
            case Down():
                return await self._register_again()
            case "register":
                return await self._register_again()
            case "check":
                self._begin_check()
            case (checker, passed, why) if checker == self.checker:
                return await self._checked(passed, why)
            case ExitMsg(pid=checker, reason=reason) if checker == self.checker:
                return await self._checked(False, f"it ended with {reason!r}")
            case ("late", checker) if checker == self.checker:
                self.checker = None  # what still comes of it is too late
                ops.exit(checker, "kill")
                assert self.check is not None
                return await self._judge(False, f"it took more than {self.check.timeout} s")
            case "expired":
                return await self._expired()
        return None

    def terminate(self, reason: Any) -> None:
        """A check that is under way has nobody to tell."""
        if self.checker is not None:
            ops.exit(self.checker, "kill")

    # The registry

    async def _register_again(self) -> Any:
        """The registry of this node has ended: register when it is there again."""
        try:
            if not core_of(ops.current().kernel).index().own(self.name, self.pid):
                await reg.register(REGISTRY, self.name, self.entry, pid=self.pid)
            self.registry = ops.monitor(REGISTRY)
        except FoundationError:  # not yet; when the instance has ended, its Down is on its way
            ops.send_after(AGAIN, ops.me(), _REGISTER)

    async def _expired(self) -> Any:
        try:
            if self._mine():
                await reg.unregister(REGISTRY, self.name, pid=self.pid)
        except FoundationError:
            pass  # the instance has ended, or the registry has: so it is out
        return Stop("normal")

    # Checks

    def _begin_check(self) -> None:
        check = self.check
        assert check is not None
        kernel = ops.current().kernel
        self.began = kernel.driver.now()
        self.checker = ops.spawn_link(_examine, ops.me(), self.pid, check)
        self.limit = ops.send_after(check.timeout, ops.me(), (_LATE, self.checker))

    async def _checked(self, passed: bool, why: str) -> Any:
        self.checker = None
        self.limit.cancel()
        return await self._judge(passed, why)

    async def _judge(self, passed: bool, why: str) -> Any:
        assert self.check is not None
        kernel = ops.current().kernel
        due = self.began + self.check.every
        ops.send_after(max(0.0, due - kernel.driver.now()), ops.me(), _CHECK)
        before, self.health = self.health, self.health.checked(passed)
        if not passed:
            text = (
                f"health check of service {self.name!r}, {self.pid!r}, has failed "
                f"({self.health.failures} of {self.check.strikes} in a row): {why}"
            )
            kernel.driver.report(Notice("warning", text))
        if self.health.healthy == before.healthy and self.entry.healthy == self.health.healthy:
            return None
        return await self._publish(self.health.healthy)

    async def _publish(self, healthy: bool) -> Any:
        """Make the verdict visible to all nodes."""
        try:
            if not self._mine():
                return Stop("normal")
            changed = await reg.update_value(
                REGISTRY, self.name, lambda old: replace(old, healthy=healthy), pid=self.pid
            )
            self.entry = changed[0]
        except NotRegistered:
            return Stop("normal")
        except FoundationError:
            pass  # the instance has ended, or the registry has; the next check says it again
        return None


async def _examine(keeper: Pid, pid: Pid, check: HealthCheck) -> None:
    """Make one check, in a process of its own."""
    what = check.check
    me = ops.me()
    try:
        if callable(what):
            result = what(pid)
            if inspect.isawaitable(result):
                result = await result
        else:
            result = await ops.call(pid, what, timeout=None)
    except Exception as error:
        ops.send(keeper, (me, False, f"{type(error).__qualname__}: {error}"))
        return
    ops.send(keeper, (me, bool(result), f"its result was {result!r}"[:300]))


async def keep(
    name: str, pid: Pid, entry: ServiceEntry, check: HealthCheck | None, ttl: float | None
) -> Pid:
    """Start a keeper for *pid*, a process of this host that has *entry* under *name*."""
    return await Keeper.start(name, pid, entry, check, ttl)
