"""Names that a registry keeps: ``Via`` is usable wherever a name is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.errors import FoundationError, NotUnique, UnknownRegistry
from foundation.kernel.codec import register as register_code
from foundation.kernel.values import Pid
from foundation.otp.registry_host import TABLE, RegistryHost, install
from foundation.otp.registry_table import RegistryTable

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Via:
    """The name *key* in the unique registry *registry*; see ``via``.

    Attributes:
        registry: the registry's name.
        key: hashable.
        value: what a process started under this name is registered with; not compared.
    """

    registry: str
    key: Any
    value: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_key(self.key)

    def __resolve__(self, kernel: Kernel) -> Pid | None:
        """Return who holds the key, or None."""
        return self._unique(known_table(kernel, self.registry)).holder(self.key)

    def __claim__(self, kernel: Kernel, pid: Pid, done: Callable[[Any], None]) -> None:
        """Register the local *pid*; *done* gets None, the holder, or an error."""
        host = install(kernel)
        if self.registry in host.by_name:
            self._claim(host, pid, done)
        else:
            # This host may be so new that it has not heard yet of the registry.
            host.sync.all(lambda: self._claim(host, pid, done))

    def _claim(self, host: RegistryHost, pid: Pid, done: Callable[[Any], None]) -> None:
        kernel = host.kernel
        if pid not in kernel.procs:
            return
        try:
            table = self._unique(known_table(kernel, self.registry))
            args = (kernel.isolate(self.key), kernel.isolate(self.value))
            host.request(table, "register", pid, args, done)
        except FoundationError as error:
            done(error)

    def __release__(self, kernel: Kernel, pid: Pid) -> None:
        """Give the key up, if the local *pid* lives and holds it; the dead have none."""
        host = install(kernel)
        table = host.by_name.get(self.registry)
        if table is not None and pid in kernel.procs:
            give_up(host, table, pid, self.key)

    def _unique(self, table: RegistryTable) -> RegistryTable:
        if not table.unique:
            raise NotUnique(self.registry, f"the name {self!r}")
        return table


def via(registry: str, key: Any, value: Any = None) -> Via:
    """Return a name for a process: *key* in the unique registry *registry*.

    Usable wherever a name is: ``await Account.start_link(name=via("accounts", 7))``,
    ``await call(via("accounts", 7), "balance")``.

    Args:
        registry: name of a running registry with unique keys.
        key: hashable.
        value: what a process started under the name is registered with.

    Raises:
        TypeError: *key* is not hashable.
    """
    return Via(registry, key, value)


def known_table(kernel: Kernel, registry: Any) -> RegistryTable:
    """Return the table of *registry* in this host.

    Raises:
        UnknownRegistry: there is none.
    """
    host: RegistryHost | None = kernel.tables.get(TABLE)
    table = host.by_name.get(registry) if host is not None else None
    if table is None:
        raise UnknownRegistry(registry)
    return table


def give_up(host: RegistryHost, table: RegistryTable, pid: Pid, key: Any) -> None:
    """Remove the entries of *key* of the local *pid* without waiting."""
    host.request(table, "remove", pid, (key, None), lambda outcome: None)
    for entry in table.own(key, pid):  # in a replica, whose owner will act a little later
        table.remove(entry.id)


def check_key(key: Any) -> None:
    """Raise TypeError unless *key* is hashable."""
    try:
        hash(key)
    except TypeError as error:
        raise TypeError(
            f"registry keys must be hashable, got {key!r} ({error}); use a tuple or a string"
        ) from None


register_code(Via, 110)
