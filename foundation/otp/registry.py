"""Registries: processes found by key, one for each key or many.

List one under a supervisor before the servers that use it::

    Registry.spec(name="accounts", keys="unique")

and use it from any process of the node, in any host::

    await Account.start_link(name=via("accounts", 7))    # a server under a key
    await call(via("accounts", 7), "balance")

    await register("topics", "news")                     # keys="duplicate": publish/subscribe
    dispatch("topics", "news", lambda found: [send(pid, "hello") for pid, _ in found])

*Reads* (``lookup``, ``keys``, ``values``, ``count``, ``match``, ``select``, ``dispatch``,
``meta``, a ``Via``) look into a table of the own host and never wait.

*Writes* (``register``, ``unregister``, ``update_value``, ``put_meta``, ...) take effect at once
in the host of the registry's process, where plain ``def`` callbacks may use them. From other
hosts they are a round trip: in ``async def`` callbacks and functions, always ``await`` them. An
awaited ``register`` from another host returns when every host of the node has the entry.

The entries of a process are gone before anybody is told of its death. Processes that have
entries are linked to the registry: when it ends, so do they, and their supervisors start
everything anew (a process that traps exits gets an ``ExitMsg`` and must register again).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from foundation.errors import (
    AlreadyRegistered,
    InvalidChildSpec,
    NotRegistered,
    NotUnique,
    UnknownRegistry,
)
from foundation.kernel import ops
from foundation.kernel.process import CURRENT, Caller
from foundation.kernel.values import Down, Pid
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.registry_host import install
from foundation.otp.registry_lock import Acquire, Locks, Release, lock
from foundation.otp.registry_match import ANY, matches
from foundation.otp.registry_table import RegistryTable
from foundation.otp.registry_write import DONE, Updated, check_waiting, wait, write
from foundation.otp.results import NoReply
from foundation.otp.via import Via, check_key, known_table, via

Found = list[tuple[Pid, Any]]


class Registry(GenServer):
    """The process of a registry. Use the functions of this module rather than messages to it.

    Its messages, for those who need them: the call ``Acquire(key, ref)`` and the cast
    ``Release(ref)`` are ``lock``. All else goes through the tables of the hosts.
    """

    async def init(
        self,
        keys: str = "unique",
        listeners: Iterable[str] = (),
        meta: Mapping[Any, Any] | None = None,
        partitions: int = 1,
    ) -> None:
        """Open the table, here and in every other host; return when all have it."""
        check_options(keys=keys, listeners=listeners, partitions=partitions)
        process = ops.current()
        process.trapping = True  # those who registered are linked, and may crash
        self.locks = Locks()
        table = RegistryTable(
            process.name,
            process.pid,
            unique=keys == "unique",
            partitions=partitions,
            listeners=tuple(listeners),
            isolate=process.kernel.isolate,
        )
        for key, value in (meta or {}).items():
            table.put_meta(key, value)
        host = install(process.kernel)
        host.create(process, table)
        await wait(process, lambda done: host.sync.all(lambda: done(None)))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Queue for a lock."""
        if not isinstance(request, Acquire):
            return super().handle_call(request, caller)
        granted = self.locks.acquire(request.key, request.request, caller)
        return True if granted else NoReply()

    def handle_cast(self, request: Any) -> None:
        """Release a lock."""
        if isinstance(request, Release):
            self.locks.release(request.request)

    def handle_info(self, message: Any) -> None:
        """Take the deaths of those who hold locks; entries are dropped elsewhere."""
        if isinstance(message, Down):
            self.locks.down(message.ref)

    @classmethod
    async def _start(
        cls,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        link: bool,
        name: Any,
        *rest: Any,
        **more: Any,
    ) -> Any:
        check_name(name)
        check_options(**kwargs)
        return await super()._start(args, kwargs, link, name, *rest, **more)

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of a registry.

        Args:
            *args: as ``init``; better use keywords.
            **options: those of ``ChildSpec``, of which *name* is required: a string, under
                which the registry's process is registered too. And:

                keys: ``"unique"``, one entry for each key, or ``"duplicate"``, any number.
                listeners: names of processes that get ``("register", registry, key, pid,
                value)`` and ``("unregister", registry, key, pid)``. A process that dies
                causes no message; a listener that cares monitors it.
                meta: initial metadata, a mapping.
                partitions: ``dispatch`` calls its function once for each partition that has
                entries. There is nothing else to gain: a host is one thread.

        Raises:
            InvalidChildSpec: an option has a wrong value, or *name* is missing.
        """
        check_name(options.get("name"))
        check_options(**options)
        return super().spec(*args, **options)


def check_name(name: Any) -> None:
    """Raise InvalidChildSpec unless *name* can be a registry's."""
    if type(name) is not str:
        raise InvalidChildSpec(
            f"a registry needs a name= that is a string, got {name!r}, as in "
            'Registry.spec(name="accounts")'
        )


def check_options(
    keys: Any = "unique", listeners: Any = (), partitions: Any = 1, **_: Any
) -> None:
    """Raise InvalidChildSpec unless the options of a registry are right."""
    if keys not in ("unique", "duplicate"):
        raise InvalidChildSpec(f"keys must be 'unique' or 'duplicate', got {keys!r}")
    if type(partitions) is not int or partitions < 1:
        raise InvalidChildSpec(f"partitions must be an int of 1 or more, got {partitions!r}")
    if isinstance(listeners, str) or not all(type(name) is str for name in listeners):
        raise InvalidChildSpec(
            f"listeners must be a list of names of processes, got {listeners!r}"
        )


# Reads


def _table(registry: str) -> RegistryTable:
    return known_table((CURRENT.get() or ops.current()).kernel, registry)


def lookup(registry: str, key: Any) -> Found:
    """Return ``[(pid, value), ...]`` of the entries of *key*, ``[]`` when there are none.

    Raises:
        UnknownRegistry: no such registry runs.
    """
    try:
        table: RegistryTable = (
            (CURRENT.get() or ops.current()).kernel.tables["registries"].by_name[registry]
        )
    except KeyError:
        raise UnknownRegistry(registry) from None
    return table.lookup(key)


def keys(registry: str, pid: Pid) -> list[Any]:
    """Return the keys of *pid*, each as often as it is registered; ``[]`` for the dead."""
    return [entry.key for entry in _table(registry).of_pid(pid)]


def values(registry: str, key: Any, pid: Pid) -> list[Any]:
    """Return the values of *pid*'s entries of *key*."""
    table = _table(registry)
    return [table.read(entry)[1] for entry in table.own(key, pid)]


def count(registry: str) -> int:
    """Return the number of entries."""
    return len(_table(registry))


def match(registry: str, key: Any, pattern: Any) -> Found:
    """Return ``[(pid, value), ...]`` of the entries of *key* whose value fits *pattern*.

    Args:
        registry: a registry's name.
        key: a key.
        pattern: a predicate of the value, or a structure; see ``registry_match.matches``.
    """
    table = _table(registry)
    found = [table.read(entry) for entry in table.of_key(key)]
    return [pair for pair in found if matches(pattern, pair[1])]


def count_match(registry: str, key: Any, pattern: Any) -> int:
    """Return how many entries of *key* have a value that fits *pattern*, as in ``match``."""
    return len(match(registry, key, pattern))


def select(
    registry: str,
    predicate: Callable[[Any, Pid, Any], bool] | None = None,
    *,
    key: Any = ANY,
    pid: Any = ANY,
    value: Any = ANY,
) -> list[tuple[Any, Pid, Any]]:
    """Return ``[(key, pid, value), ...]`` of all entries that fit; goes through all of them.

    Args:
        registry: a registry's name.
        predicate: called with key, pid and value; None takes all.
        key: pattern of the key, as in ``match``.
        pid: pattern of the pid.
        value: pattern of the value.
    """
    table = _table(registry)
    found = []
    for entry in table:
        holder, held = table.read(entry)
        if (
            matches(key, entry.key)
            and (pid is ANY or matches(pid, holder))
            and matches(value, held)
            and (predicate is None or predicate(entry.key, holder, held))
        ):
            found.append((entry.key, holder, held))
    return found


def dispatch(
    registry: str, key: Any, function: Callable[[Found], Any], *, parallel: bool = False
) -> Awaitable[None]:
    """Call *function* in this process with ``[(pid, value), ...]`` of the entries of *key*.

    Once for each partition that has entries; not at all when there are none. What *function*
    raises is raised here.

    Args:
        registry: a registry's name.
        key: a key.
        function: a ``def``, or an ``async def``: then await the result of ``dispatch``.
        parallel: run the ``async def`` calls for several partitions concurrently.
    """
    table = _table(registry)
    found = table.lookup(key)
    if not found:
        return DONE
    groups = [found] if table.partitions == 1 else _groups(found, table.partitions)
    if inspect.iscoroutinefunction(function):
        return _dispatch(function, groups, parallel)
    waiting = [result for result in map(function, groups) if inspect.isawaitable(result)]
    return _gather(waiting) if waiting else DONE


def _groups(found: Found, partitions: int) -> list[Found]:
    groups: dict[int, Found] = {}
    for pair in found:
        groups.setdefault(pair[0].serial % partitions, []).append(pair)
    return list(groups.values())


async def _dispatch(
    function: Callable[[Found], Any], groups: list[Found], parallel: bool
) -> None:
    if parallel:
        await _gather([function(group) for group in groups])
    else:
        for group in groups:
            await function(group)


async def _gather(waiting: list[Any]) -> None:
    await asyncio.gather(*waiting)


def meta(registry: str, key: Any, default: Any = None) -> Any:
    """Return the metadata of *registry* under *key*, or *default*."""
    return _table(registry).meta(key, default)


# Writes


def register(registry: str, key: Any, value: Any = None) -> Awaitable[None]:
    """Register this process under *key*, until it unregisters or ends; await the result.

    Args:
        registry: a registry's name.
        key: hashable.
        value: anything that can be copied.

    Raises:
        AlreadyRegistered: the registry is unique, and a process (perhaps this one) holds *key*.
        BlockingCall: in a plain ``def`` callback in another host than the registry's.
        TypeError: *key* is not hashable.
        UnknownRegistry: no such registry runs.
        Unsendable: *key* or *value* cannot be copied.
    """
    process = ops.current()
    check_key(key)

    def finish(holder: Any) -> None:
        if holder is not None:
            raise AlreadyRegistered(key, holder)

    isolate = process.kernel.isolate
    return write(process, registry, "register", (isolate(key), isolate(value)), finish)


def unregister(registry: str, key: Any) -> Awaitable[None]:
    """Remove this process's entries of *key*, if any; await the result.

    Raises:
        BlockingCall, UnknownRegistry: as ``register``.
    """
    return write(ops.current(), registry, "remove", (key, None))


def unregister_match(registry: str, key: Any, pattern: Any) -> Awaitable[None]:
    """Remove this process's entries of *key* whose value fits *pattern* (as in ``match``).

    Raises:
        BlockingCall, UnknownRegistry: as ``register``.
    """
    process = ops.current()
    table = known_table(process.kernel, registry)
    own = table.own(key, process.pid)
    ids = [entry.id for entry in own if matches(pattern, table.read(entry)[1])]
    return write(process, registry, "remove", (key, ids))


def update_value(registry: str, key: Any, function: Callable[[Any], Any]) -> Any:
    """Replace the value of this process's entry of *key* by ``function(value)``.

    Returns:
        ``(new, old)``; await it in ``async def`` callbacks.

    Raises:
        NotRegistered: this process does not hold *key*.
        NotUnique: the registry allows duplicates.
        BlockingCall, UnknownRegistry, Unsendable: as ``register``.
    """
    process = ops.current()
    table = known_table(process.kernel, registry)
    if not table.unique:
        raise NotUnique(registry, "update_value()")
    mine = table.own(key, process.pid)
    if not mine:
        raise NotRegistered(registry, key)
    if table.owner.host != process.kernel.address:
        check_waiting(process, registry)
    old = table.read(mine[0])[1]
    new = function(old)

    def finish(updated: Any) -> Updated:
        if updated is not True:
            raise NotRegistered(registry, key)
        return Updated((new, old))

    return write(process, registry, "update", (key, process.kernel.isolate(new)), finish)


def put_meta(registry: str, key: Any, value: Any) -> Awaitable[None]:
    """Set the metadata of *registry* under *key*; any process may. Await the result.

    Raises:
        BlockingCall, TypeError, UnknownRegistry, Unsendable: as ``register``.
    """
    process = ops.current()
    check_key(key)
    isolate = process.kernel.isolate
    return write(process, registry, "meta", (isolate(key), [isolate(value)]))


def delete_meta(registry: str, key: Any) -> Awaitable[None]:
    """Remove the metadata of *registry* under *key*, if any; await the result.

    Raises:
        BlockingCall, UnknownRegistry: as ``register``.
    """
    return write(ops.current(), registry, "meta", (key, []))


__all__ = [
    "ANY",
    "Registry",
    "Via",
    "count",
    "count_match",
    "delete_meta",
    "dispatch",
    "install",
    "keys",
    "lock",
    "lookup",
    "match",
    "meta",
    "put_meta",
    "register",
    "select",
    "unregister",
    "unregister_match",
    "update_value",
    "values",
    "via",
]
