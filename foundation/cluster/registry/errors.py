"""What distributed registries raise beyond the errors of local ones."""

from __future__ import annotations

from typing import Any

from foundation.errors import RegistryError, UnknownRegistry


class UnknownDistributedRegistry(UnknownRegistry):
    """No distributed registry of that name runs on this node."""

    def __str__(self) -> str:
        return (
            f"unknown distributed registry {self.name!r}: list DistributedRegistry.spec(name="
            f"{self.name!r}) under a supervisor of this node (each node needs one), before the "
            "servers that use it, in a node that is started with cluster="
        )


class ClaimTimeout(RegistryError, TimeoutError):
    """A key could not be claimed in time. It is certain that it was not.

    Attributes:
        registry: the registry's name.
        key: that was claimed.
        timeout: seconds.
        why: what was waited for.
    """

    def __init__(self, registry: Any, key: Any, timeout: float, why: str) -> None:
        super().__init__(registry, key, timeout, why)
        self.registry = registry
        self.key = key
        self.timeout = timeout
        self.why = why

    def __reduce__(self) -> Any:  # OSError's, of which this is one, keeps two arguments
        return type(self), (self.registry, self.key, self.timeout, self.why)

    def __str__(self) -> str:
        return (
            f"key {self.key!r} of the distributed registry {self.registry!r} could not be "
            f"claimed within {self.timeout} s: {self.why}; try again, or raise timeout="
        )
