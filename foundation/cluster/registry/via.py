"""Names that a distributed registry keeps: usable wherever a name is, on every node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.cluster.registry.host import TABLE, RegistryHost
from foundation.cluster.registry.index import Index, UniqueIndex
from foundation.cluster.registry.keys import encode_key, encode_value
from foundation.errors import ClaimTimeout, NotUnique, RegistryError, UnknownDistributedRegistry
from foundation.kernel.codec import register as register_code
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

CLAIM_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class DistributedVia:
    """The name *key* in the distributed unique registry *registry*.

    Attributes:
        registry: the registry's name.
        key: as ``register``.
        value: what a process started under this name is registered with; not compared.

    Raises:
        TypeError, ValueError: *registry* is not a non-empty string, or *key* is none.
    """

    registry: str
    key: Any
    value: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.registry, str) or not self.registry:
            raise TypeError(
                f"via() takes the name of a registry, a non-empty string, as in "
                f'via("accounts", 7), got {self.registry!r}'
            )
        encode_key(self.key)

    def __resolve__(self, kernel: Kernel) -> Pid | None:
        """Return who holds the key, or None."""
        return unique_index(kernel, self.registry, f"the name {self!r}").holder(self.key)

    def __claim__(self, kernel: Kernel, pid: Pid, done: Callable[[Any], None]) -> None:
        """Register the local *pid*; *done* gets None, the holder, or an error."""
        process = kernel.procs.get(pid)
        if process is None:
            return

        def answered(outcome: tuple[Any, ...]) -> None:
            done(_claimed(self, outcome))

        try:
            host = registry_host(kernel, self.registry)
            args = (encode_key(self.key), encode_value(self.value), CLAIM_TIMEOUT, True, answered)
        except Exception as error:
            done(error)
            return
        host.register(process, self.registry, *args)

    def __release__(self, kernel: Kernel, pid: Pid) -> None:
        """Give the key up, if the local *pid* lives and holds it; the dead have none."""
        host: RegistryHost | None = kernel.tables.get(TABLE)
        if host is not None and pid in kernel.procs:
            host.cluster.say("reg.remove", self.registry, encode_key(self.key), pid)


def _claimed(name: DistributedVia, outcome: tuple[Any, ...]) -> Any:
    if outcome[0] == "taken":
        return outcome[1]
    return failure(name.registry, name.key, CLAIM_TIMEOUT, f"the name {name!r}", outcome)


def failure(
    registry: str, key: Any, timeout: float, what: str, outcome: tuple[Any, ...]
) -> RegistryError | None:
    """Return the error that *outcome* of a claim stands for, or None."""
    code = outcome[0]
    if code == "ok":
        return None
    if code == "unknown":
        return UnknownDistributedRegistry(registry)
    if code == "not_unique":
        return NotUnique(registry, what)
    if code == "late":
        return ClaimTimeout(registry, key, timeout, outcome[1])
    return RegistryError(
        f"distributed registry {registry!r}: {what} failed: {outcome[-1]}; the control host of "
        "this node, where its agent lives, did not serve the request"
    )


def registry_host(kernel: Kernel, registry: str) -> RegistryHost:
    """Return the distributed registries of this host.

    Raises:
        UnknownDistributedRegistry: the node is in no cluster.
    """
    host: RegistryHost | None = kernel.tables.get(TABLE)
    if host is None:
        raise UnknownDistributedRegistry(registry)
    return host


def known_index(kernel: Kernel, registry: str) -> Index:
    """Return this host's index of *registry*.

    Raises:
        UnknownDistributedRegistry: it is not declared on this node.
    """
    index = registry_host(kernel, registry).by_name.get(registry)
    if index is None:
        raise UnknownDistributedRegistry(registry)
    return index


def unique_index(kernel: Kernel, registry: str, what: str) -> UniqueIndex:
    """As ``known_index``.

    Raises:
        NotUnique: it allows duplicates, which *what* cannot use.
    """
    index = known_index(kernel, registry)
    if not isinstance(index, UniqueIndex):
        raise NotUnique(registry, what)
    return index


register_code(DistributedVia, 106)
