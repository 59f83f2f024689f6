"""The process that declares a distributed registry on a node."""

from __future__ import annotations

from typing import Any

from foundation.cluster.registry.functions import (
    count,
    dispatch,
    keys,
    lookup,
    match,
    register,
    select,
    subscribe,
    token,
    unregister,
    unsubscribe,
    update_value,
    values,
    whereis,
)
from foundation.cluster.registry.host import TABLE, RegistryHost
from foundation.cluster.registry.tables import Options
from foundation.cluster.registry.via import DistributedVia
from foundation.errors import InvalidChildSpec, RegistryError
from foundation.kernel import ops
from foundation.kernel.process import Process
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.registry_write import wait

KEYS = ("unique", "duplicate")
ON_CONFLICT = ("exit", "message")


class DistributedRegistry(GenServer):
    """Declares a registry on this node; list one under a supervisor of each node.

    It lives in the node's control host, beside the agent. When it ends, the entries that
    processes of this node have made are withdrawn. It takes no messages: use the functions of
    the package, which are also here: ``DistributedRegistry.lookup("accounts", 7)``.
    """

    async def init(self, keys: str = "unique", on_conflict: str = "exit") -> None:
        """Declare the registry; return when all hosts of this node know of it."""
        process = ops.current()
        host: RegistryHost | None = process.kernel.tables.get(TABLE)
        if host is None or host.agent is None:
            raise RegistryError(
                f"distributed registry {process.name!r} runs only in the control host of a node "
                "in a cluster: start the node with cluster=, and do not give the spec a host="
            )
        agent = host.agent
        refusal = agent.declare(process.name, Options(keys, on_conflict))
        if refusal is not None:
            raise RegistryError(refusal)

        def ends(process: Process, reason: Any) -> None:
            agent.withdraw(process.name)

        process.add_exit_hook(ends)
        await wait(process, lambda done: agent.all_hosts(lambda: done(None)))

    @classmethod
    async def _start(
        cls,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        link: bool,
        name: Any,
        timeout: float | None,
        host: str | None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        check_options(name, *args, **kwargs)
        where = host or "control"
        return await super()._start(args, kwargs, link, name, timeout, where, *rest, **more)

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of a distributed registry.

        Args:
            *args: as ``init``; better use keywords.
            **options: those of ``ChildSpec``, of which *name* is required: a string, the same
                on all nodes; the server is registered under it on its node, too. And:

                keys: ``"unique"``, one entry for each key in the whole cluster, or
                ``"duplicate"``, any number.
                on_conflict: what the one of two holders of a unique key that does not survive
                the heal of a split gets, a ``NameConflict``: ``"exit"`` as an exit signal,
                ``"message"`` as a message, so that it can hand its state to the winner.

        Raises:
            InvalidChildSpec: an option has a wrong value, or *name* is missing.
        """
        own = {k: options[k] for k in ("keys", "on_conflict") if k in options}
        check_options(options.get("name"), *args, **own)
        return super().spec(*args, **{"host": "control", **options})

    @staticmethod
    def via(registry: str, key: Any, value: Any = None) -> DistributedVia:
        """Return a name: *key* in the unique distributed registry *registry*.

        Usable wherever a name is: ``await Account.start_link(name=via("accounts", 7))``,
        ``await call(via("accounts", 7), "balance")``, on every node.

        Args:
            registry: name of a registry with unique keys.
            key: as ``register``.
            value: what a process started under the name is registered with.

        Raises:
            TypeError, ValueError: *registry* is not a non-empty string, or *key* is of a type
                that has no one encoding on all nodes.
        """
        return DistributedVia(registry, key, value)

    lookup = staticmethod(lookup)
    whereis = staticmethod(whereis)
    token = staticmethod(token)
    keys = staticmethod(keys)
    values = staticmethod(values)
    count = staticmethod(count)
    match = staticmethod(match)
    select = staticmethod(select)
    dispatch = staticmethod(dispatch)
    subscribe = staticmethod(subscribe)
    unsubscribe = staticmethod(unsubscribe)
    register = staticmethod(register)
    unregister = staticmethod(unregister)
    update_value = staticmethod(update_value)


def check_options(name: Any, keys: Any = "unique", on_conflict: Any = "exit") -> None:
    """Raise InvalidChildSpec unless the options of a distributed registry are right."""
    if type(name) is not str or not name:
        raise InvalidChildSpec(
            f"a distributed registry needs a name= that is a string, got {name!r}, as in "
            'DistributedRegistry.spec(name="accounts")'
        )
    if keys not in KEYS:
        raise InvalidChildSpec(f"keys must be 'unique' or 'duplicate', got {keys!r}")
    if on_conflict not in ON_CONFLICT:
        raise InvalidChildSpec(f"on_conflict must be 'exit' or 'message', got {on_conflict!r}")
