"""Instances of services come and go; see the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster import registry as reg
from foundation.errors import AlreadyRegistered, CallExit, CallTimeout, NoProc
from foundation.facade import send_through
from foundation.kernel import ops
from foundation.kernel.values import Pid
from foundation.runtime.placement import is_control
from foundation.service_mesh.arguments import check_pid, waiting
from foundation.service_mesh.core import Kept, core_of
from foundation.service_mesh.errand import at_host_of, is_here
from foundation.service_mesh.errors import NotInService
from foundation.service_mesh.keeper import RENEW, Charge, dismiss, keep
from foundation.service_mesh.metadata import Metadata
from foundation.service_mesh.values import (
    REGISTRY,
    HealthCheck,
    ServiceEntry,
    capabilities_of,
    check_name,
    check_seconds,
    is_service,
)


@dataclass(frozen=True)
class ServiceHandle:
    """An instance that was registered.

    Attributes:
        name: of the service.
        pid: the process that serves.
        keeper: looks after the entry, unless another one had to take its place; None for an entry
            made with the primitive.
        order: of the entry, see ``ServiceEntry``; None stands for any.
    """

    name: str
    pid: Pid
    keeper: Pid | None = field(default=None, compare=False)
    order: int | None = field(default=None, compare=False)

    async def deregister(self) -> None:
        """Withdraw what was registered then; from any process of any node. See ``deregister``.

        A later registration of the same process stays.
        """
        await _deregister(self.name, self.pid, self.order)

    async def renew(self) -> None:
        """Begin its ttl anew; from any process of any node.

        Raises:
            NotInService: it is not registered any more.
            CallTimeout, NoConnection: its host did not answer.
        """
        if self.keeper is None:
            return
        renewed = await _renew(self.keeper)
        if renewed is None:  # that keeper has died; perhaps it has a successor
            try:
                there = (self.name, self.pid, self.order)
                renewed = await send_through(at_host_of, self.pid, _renew_here, *there)
            except NoProc:
                renewed = False
        if not renewed:
            raise NotInService(self.name, self.pid)


async def _renew(keeper: Pid) -> bool | None:
    """Have *keeper* begin the ttl anew; return whether it did, None when it has ended."""
    try:
        return bool(await send_through(ops.call, keeper, RENEW))
    except CallExit as error:
        if isinstance(error, CallTimeout) or not error.definite:
            raise
        return None


async def _renew_here(name: str, pid: Pid, order: int | None) -> bool:
    """Renew the registration *order* of *pid*, of this host."""
    kept = core_of(ops.current().kernel).keepers.get((name, pid))
    if kept is not None:
        return kept.order == order and await _renew(kept.keeper) is not False
    held = reg.values(REGISTRY, name, pid)  # a new keeper, if there is to be one, begins anew
    return any(is_service(value) and value.order == order for value in held)


async def register(
    name: str,
    pid: Pid | None = None,
    *,
    capabilities: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    health_check: HealthCheck | Any = None,
    ttl: float | None = None,
) -> ServiceHandle:
    """Make this process, or *pid*, an instance of the service *name*.

    What this does: registers the process under the key *name* in the distributed registry
    ``"foundation.services"``, which allows several holders of a key, with a ``ServiceEntry`` as
    value. The entry ends with the process. ``keep`` starts a *keeper*, a light process in the same
    host, which makes the health checks, sees to the ttl, and registers again should the registry
    be started anew; should the keeper itself die, another one takes its place. *pid* may live in
    any host; ``at_host_of`` has the entry made there. When this returns, all hosts of the node of
    *pid* find the instance; others follow.

    Equivalent direct messages::

        from foundation.cluster import registry
        from foundation.otp import me
        from foundation.service_mesh import ServiceEntry, ServiceHandle

        entry = ServiceEntry(capabilities=capabilities, metadata=metadata or {})
        await registry.register("foundation.services", name, entry, pid=pid)
        ServiceHandle(name, me() if pid is None else pid)

    When to bypass: when no check, ttl or keeper is wanted, or to hold several entries of one
    name. What is registered directly is found, called and announced in the same way.

    Args:
        name: of the service.
        pid: the process that serves; default: this one.
        capabilities: what it can do.
        metadata: what else to say about it: strings to immutable values.
        health_check: a function of the pid (``def`` or ``async def``; true is healthy), or a
            message to call it with; ``HealthCheck`` says more. It runs in the host of *pid*. A
            server ends when it gets a call that it does not know, as any server: with
            ``health_check="ping"`` it needs a clause for ``"ping"`` in ``handle_call``, which
            returns True. For one that has none, give a function.
        ttl: seconds after which the instance is deregistered unless ``handle.renew()`` was
            called; None is for ever.

    Returns:
        A handle, which may be sent to others.

    Raises:
        AlreadyRegistered: the process is an instance of *name* already.
        BlockingCall: in a plain ``def`` callback.
        NoProc: *pid* has ended, or its host is gone.
        TypeError, ValueError: an argument is wrong, or a health check would run in a control
            host.
        UnknownDistributedRegistry: the node of *pid* has no service mesh.
        Unsendable: *metadata* cannot be sent.
    """
    check_name(name)
    check_pid(pid)
    process = waiting(f"register({name!r}) of a service")
    check = _health_check(health_check)
    if ttl is not None:
        check_seconds("register: ttl", ttl)
    entry = ServiceEntry(
        capabilities=capabilities_of(capabilities),
        metadata=Metadata({} if metadata is None else metadata),
    )
    target = process.pid if pid is None else pid
    if check is not None and is_control(target.host):
        raise ValueError(
            f"{target!r} lives in a control host, which runs no code of applications, so it can "
            "have no health check; start it in a worker host (host='spread')"
        )
    join = _join if is_here(target) else _join_there
    kept = await join(name, target, entry, check, ttl)
    return ServiceHandle(name, target, *kept)


async def _join_there(name: str, pid: Pid, *rest: Any) -> Kept:
    return await send_through(at_host_of, pid, _join, name, pid, *rest)


async def _join(
    name: str, pid: Pid, entry: ServiceEntry, check: HealthCheck | None, ttl: float | None
) -> Kept:
    """Make the entry of *pid*, of this host; return its keeper, and its order."""
    kernel = ops.current().kernel
    core = core_of(kernel)
    slot = (name, pid)
    if slot in core.joining or reg.values(REGISTRY, name, pid):
        raise AlreadyRegistered(name, pid)
    core.joining[slot] = None
    try:
        dismiss(name, pid)
        entry = ServiceEntry(
            f"{pid.host}.{pid.incarnation}.{pid.serial}",
            entry.capabilities,
            entry.metadata,
            order=core.next_order(),
            registered_at=kernel.driver.wall(),
        )
        await send_through(reg.register, REGISTRY, name, entry, pid=pid)
        charge = Charge(name, pid, entry, check, ttl)
        return Kept(await send_through(keep, charge), entry.order)
    finally:
        del core.joining[slot]


async def deregister(name: str, pid: Pid | None = None) -> None:
    """Withdraw this process, or *pid*, from the service *name*; nothing when it is none.

    What this does: removes its entries of the key *name* from the registry
    ``"foundation.services"`` and ends their keeper, in the host of the process (``at_host_of``).
    The process itself lives on. Entries of processes that end are removed without this.

    Equivalent direct messages::

        from foundation.cluster import registry

        await registry.unregister("foundation.services", name, pid=pid)

    When to bypass: for entries made with the primitive. A keeper, which only this function ends
    at once, ends at its next check.

    Args:
        name: of the service.
        pid: the process that serves, in any host; default: this one.

    Raises:
        BlockingCall: in a plain ``def`` callback.
        TypeError, ValueError: an argument is wrong.
        UnknownDistributedRegistry: the node of *pid* has no service mesh.
    """
    check_name(name)
    check_pid(pid)
    await _deregister(name, pid, None)


async def _deregister(name: str, pid: Pid | None, order: int | None) -> None:
    process = waiting(f"deregister({name!r}) of a service")
    target = process.pid if pid is None else pid
    try:
        if is_here(target):
            await _leave(name, target, order)
        else:
            await send_through(at_host_of, target, _leave, name, target, order)
    except NoProc:
        pass  # it has ended, and its entries with it


async def _leave(name: str, pid: Pid, order: int | None) -> None:
    """Withdraw *pid*, of this host, unless its registration is not the one that is meant."""
    kept = core_of(ops.current().kernel).keepers.get((name, pid))
    if order is not None and (kept is None or kept.order != order):
        held = reg.values(REGISTRY, name, pid)
        if not any(is_service(value) and value.order == order for value in held):
            return
    dismiss(name, pid)
    await send_through(reg.unregister, REGISTRY, name, pid=pid)


def _health_check(check: Any) -> HealthCheck | None:
    return check if check is None or isinstance(check, HealthCheck) else HealthCheck(check)
