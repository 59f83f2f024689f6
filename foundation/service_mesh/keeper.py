"""The keeper of an instance: a light process beside it that looks after its entry.

It makes the health checks and sees to the ttl. It lives in the host of the instance and ends with
it, so a check that blocks or leaks harms nobody else, and the control host runs none. When the
registry of services of this node is started anew, it registers the instance again.

A keeper that is killed, or fails, is replaced by a new one, whose ttl begins anew. After
``REPLACED`` replacements in ``WITHIN`` seconds the instance is withdrawn instead: nobody would
look after it.

A direct ``registry.unregister`` of the instance ends its keeper, too, but that notices it only at
the next check, renewal or end of the ttl; ``service_mesh.deregister`` ends it at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from foundation.cluster import registry as reg
from foundation.errors import (
    FoundationError,
    NoProc,
    NotRegistered,
    RegistryError,
    UnknownDistributedRegistry,
)
from foundation.kernel import ops
from foundation.kernel.process import FunctionProcess, Process
from foundation.kernel.reports import Notice
from foundation.kernel.timers import Timer
from foundation.kernel.values import Down, ExitMsg, Pid
from foundation.otp import GenServer, Stop
from foundation.service_mesh.core import Kept, core_of
from foundation.service_mesh.health import Health
from foundation.service_mesh.values import REGISTRY, HealthCheck, ServiceEntry, is_service

RENEW = "renew"
AGAIN = 0.2  # seconds from one attempt to register again to the next

REPLACED = 3  # times that a keeper is replaced in a row
WITHIN = 60.0  # seconds
MOST_TEXT = 300  # characters of what a check says

_CHECK, _LATE, _EXPIRED, _REGISTER = "check", "late", "expired", "register"


@dataclass(frozen=True)
class Charge:
    """What a keeper looks after.

    Attributes:
        name: of the service.
        pid: the process that serves.
        entry: its entry in the registry.
        check: how it is checked.
        ttl: seconds that it stays without renewal.
        deaths: when earlier keepers of it died, as far as that counts.
    """

    name: str
    pid: Pid
    entry: ServiceEntry
    check: HealthCheck | None
    ttl: float | None
    deaths: tuple[float, ...] = ()

    def died(self, now: float) -> Charge:
        """Return the same after a keeper of it has died."""
        return replace(self, deaths=(*(t for t in self.deaths if now - t < WITHIN), now))

    @property
    def lost(self) -> bool:
        """Whether no further keeper is worth a try."""
        return len(self.deaths) > REPLACED

    def values(self) -> list[Any]:
        """Return what the registry has of this registration: one value, or none."""
        held = reg.values(REGISTRY, self.name, self.pid)
        return [value for value in held if self.is_mine(value)]

    def is_mine(self, value: Any) -> bool:
        """Whether *value* is of this registration, not of another one of the same process."""
        return is_service(value) and value.order == self.entry.order


class Keeper(GenServer):
    """See the module docstring. ``call(keeper, RENEW)`` begins the ttl anew."""

    def init(self, charge: Charge) -> None:
        """Look after *charge*."""
        process = ops.current()
        self.charge = charge
        self.name, self.pid, self.entry = charge.name, charge.pid, charge.entry
        self.check, self.ttl = charge.check, charge.ttl
        strikes = self.check.strikes if self.check else 1
        self.health = Health(strikes, healthy=self.entry.healthy)
        self.checker: Pid | None = None
        self.expiry: Timer | None = None
        self.round = 0  # of the ttl: an end of an earlier one may be in the mailbox already
        self._enlist(process)
        ops.trap_exit()
        self.service = ops.monitor(self.pid)
        self.registry = ops.monitor(REGISTRY)
        if self.check is not None:
            ops.send_after(self.check.first_after, process.pid, _CHECK)
        self._begin_ttl()

    def _enlist(self, process: Process) -> None:
        keepers = core_of(process.kernel).keepers
        slot = (self.name, self.pid)
        kept = keepers[slot] = Kept(process.pid, self.entry.order)

        def ends(process: Process, reason: Any) -> None:
            if keepers.get(slot) == kept:
                del keepers[slot]
                if reason != "normal":
                    charge = replace(self.charge, entry=self.entry)
                    successor = _replaced(process, charge, reason)
                    if successor is not None:  # from now on whoever dismisses ends that one
                        keepers[slot] = kept._replace(keeper=successor)

        process.add_exit_hook(ends)

    def _begin_ttl(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        self.round += 1
        if self.ttl is not None:
            self.expiry = ops.send_after(self.ttl, ops.me(), (_EXPIRED, self.round))

    def _mine(self) -> bool:
        """Whether the entry is there, and not another of the same process."""
        return bool(self.charge.values())

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
                return await self._checked(False, f"it ended with {_said(repr, reason)}")
            case ("late", checker) if checker == self.checker:
                self.checker = None  # what still comes of it is too late
                ops.exit(checker, "kill")
                assert self.check is not None
                return await self._judge(False, f"it took more than {self.check.timeout} s")
            case ("expired", round) if round == self.round:
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
            if not self._mine():
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
                f"({self.health.failures} of {self.check.strikes} in a row): {_cut(why)}"
            )
            kernel.driver.report(Notice("warning", text))
        if self.health.healthy == before.healthy and self.entry.healthy == self.health.healthy:
            return None
        return await self._publish(self.health.healthy)

    async def _publish(self, healthy: bool) -> Any:
        """Make the verdict visible to all nodes."""
        try:
            self.entry, _ = await reg.update_value(
                REGISTRY,
                self.name,
                lambda old: replace(old, healthy=healthy),
                pid=self.pid,
                where=self.charge.is_mine,
            )
        except NotRegistered:
            return Stop("normal")
        except (NoProc, UnknownDistributedRegistry):
            pass  # the instance has ended, or the registry has; the next check says it again
        except RegistryError as error:
            text = f"{self.pid!r} of service {self.name!r} cannot be shown as {healthy=}: {error}"
            ops.current().kernel.driver.report(Notice("error", text))
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
        passed, why = bool(result), f"its result was {_said(repr, result)}"
    except Exception as error:
        passed, why = False, f"{type(error).__qualname__}: {_said(str, error)}"
    ops.send(keeper, (me, passed, why))


def _said(text_of: Callable[[Any], str], what: Any) -> str:
    """Return a text of *what* that users have written, and that may be long, or fail."""
    try:
        return _cut(text_of(what))
    except Exception:
        return f"<a {type(what).__qualname__} that has no text>"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


async def keep(charge: Charge) -> Pid:
    """Start a keeper for *charge*, whose process lives in this host."""
    return await Keeper.start(charge)


def dismiss(name: str, pid: Pid) -> None:
    """End the keeper that *pid* has under *name*, if any; none takes its place."""
    kept = core_of(ops.current().kernel).keepers.pop((name, pid), None)
    if kept is not None:
        ops.exit(kept.keeper, "kill")


def _replaced(keeper: Process, charge: Charge, reason: Any) -> Pid | None:
    """*keeper* of *charge* has died of *reason*: start another one, or withdraw the instance."""
    kernel = keeper.kernel
    if charge.pid not in kernel.procs:
        return None
    after = charge.died(kernel.driver.now())
    then = "it is withdrawn" if after.lost else "a new one is started"
    text = (
        f"the keeper {keeper.pid!r} of service {charge.name!r}, {charge.pid!r}, has died: "
        f"{_said(repr, reason)}; {then}"
    )
    kernel.driver.report(Notice("error" if after.lost else "warning", text))
    if after.lost:
        kernel.spawn(FunctionProcess, (_withdraw, (after,), {}))
        return None
    return kernel.spawn(Keeper.__process_class__, (Keeper, (after,), {})).pid


async def _withdraw(charge: Charge) -> None:
    with suppress(FoundationError):  # the instance has ended, or the registry has: so it is out
        if charge.values():
            await reg.unregister(REGISTRY, charge.name, pid=charge.pid)
