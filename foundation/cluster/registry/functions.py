"""What processes do with distributed registries; see the package's docstring."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.cluster.registry.host import TABLE
from foundation.cluster.registry.index import Index
from foundation.cluster.registry.keys import encode_key, encode_value
from foundation.cluster.registry.record import Record
from foundation.cluster.registry.values import Entry
from foundation.cluster.registry.via import (
    CLAIM_TIMEOUT,
    failure,
    known_index,
    registry_host,
    unique_index,
)
from foundation.errors import (
    AlreadyRegistered,
    NoProc,
    NotRegistered,
    NotUnique,
    UnknownDistributedRegistry,
)
from foundation.kernel import ops
from foundation.kernel.process import CURRENT, Process
from foundation.kernel.values import Pid
from foundation.otp.registry_match import ANY, matches
from foundation.otp.registry_write import DONE, must_wait, wait

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

T = TypeVar("T")

# Reads: they look into this host's index and never wait


def _index(registry: str) -> Index:
    return known_index((CURRENT.get() or ops.current()).kernel, registry)


def lookup(registry: str, key: Any) -> list[Entry]:
    """Return the entries of *key* on all nodes; ``[]`` when there are none.

    Raises:
        UnknownDistributedRegistry: no such registry runs on this node.
    """
    try:
        host = (CURRENT.get() or ops.current()).kernel.tables[TABLE]
        index: Index = host.by_name[registry]
    except KeyError:
        raise UnknownDistributedRegistry(registry) from None
    return index.lookup(key)


def derive(
    registry: str,
    key: Any,
    function: Callable[[Any, list[Entry]], T],
    *,
    kernel: Kernel | None = None,
) -> T:
    """Return ``function(key, lookup(registry, key))``, which is kept until those entries change.

    For what is read often and made with some work: as long as nothing changes it is one look into
    a dictionary. What is kept goes with the entries.

    Args:
        registry: a registry's name.
        key: a key.
        function: looks at nothing but its arguments. Pass the same one each time: results of the
            last ``index.DERIVED`` functions are kept for each key. All callers in this host get
            the same result, so it should be immutable.
        kernel: of the host to read in, as ``__resolve__`` of a name gets it; None: that of this
            process.

    Raises:
        UnknownDistributedRegistry: no such registry runs on this node.
        whatever *function* raises; nothing is kept then.
    """
    try:
        host = (kernel or (CURRENT.get() or ops.current()).kernel).tables[TABLE]
        index: Index = host.by_name[registry]
    except KeyError:
        raise UnknownDistributedRegistry(registry) from None
    return index.derive(key, function)  # type: ignore[no-any-return]


def whereis(registry: str, key: Any) -> Pid | None:
    """Return who holds *key* of a unique registry, or None.

    Raises:
        NotUnique, UnknownDistributedRegistry: there is no such unique registry on this node.
    """
    kernel = (CURRENT.get() or ops.current()).kernel
    return unique_index(kernel, registry, "whereis()").holder(key)


def token(registry: str, key: Any) -> int:
    """Return the fencing token with which this process holds *key*.

    Send it along with every change of what the name protects, and have that refuse lower ones.

    Raises:
        NotRegistered: this process does not hold *key* (any more).
        NotUnique, UnknownDistributedRegistry: as ``whereis``.
    """
    process = ops.current()
    mine = unique_index(process.kernel, registry, "token()").own(key, process.pid)
    if not mine:
        raise NotRegistered(registry, key)
    return mine[0].token


def keys(registry: str, pid: Pid | None = None) -> list[Any]:
    """Return the keys of *pid*, each as often as it is registered; of all when it is None."""
    index = _index(registry)
    return [record.key for record in (index if pid is None else index.of_pid(pid))]


def values(registry: str, key: Any, pid: Pid | None = None) -> list[Any]:
    """Return the values of the entries of *key*, or of those of *pid* among them."""
    index = _index(registry)
    records = index.of_key(key) if pid is None else index.own(key, pid)
    return [index.entry(record).value for record in records]


def count(registry: str, key: Any = ANY) -> int:
    """Return the number of entries, or of those of *key*."""
    index = _index(registry)
    return len(index) if key is ANY else len(index.of_key(key))


def match(registry: str, key: Any, pattern: Any) -> list[Entry]:
    """Return the entries of *key* whose value fits *pattern*.

    Args:
        registry: a registry's name.
        key: a key.
        pattern: a predicate of the value, or a structure; see ``registry_match.matches``.
    """
    return [entry for entry in lookup(registry, key) if matches(pattern, entry.value)]


def select(
    registry: str,
    predicate: Callable[[Any, Pid, Any], bool] | None = None,
    *,
    key: Any = ANY,
    pid: Any = ANY,
    value: Any = ANY,
    node: Any = ANY,
) -> list[tuple[Any, Pid, Any]]:
    """Return ``[(key, pid, value), ...]`` of all entries that fit; goes through all of them.

    Args:
        registry: a registry's name.
        predicate: called with key, pid and value; None takes all.
        key: pattern of the key, as in ``match``.
        pid: pattern of the pid.
        value: pattern of the value.
        node: pattern of the name of the node where the holder lives.
    """
    index = _index(registry)
    found = []
    for record in index:
        if not (matches(key, record.key) and matches(node, record.node)):
            continue
        if pid is not ANY and not matches(pid, record.pid):
            continue
        held = index.entry(record).value
        if matches(value, held) and (
            predicate is None or predicate(record.key, record.pid, held)
        ):
            found.append((record.key, record.pid, held))
    return found


def dispatch(
    registry: str, key: Any, function: Callable[[list[Entry]], Any]
) -> Awaitable[None]:
    """Call *function* in this process with the entries of *key*, unless there are none.

    Args:
        registry: a registry's name.
        key: a key.
        function: a ``def``, or an ``async def``: then await the result of ``dispatch``.
    """
    found = lookup(registry, key)
    if found:
        result = function(found)
        if inspect.isawaitable(result):
            return result
    return DONE


# Subscriptions


def subscribe(registry: str, key: Any = ANY) -> None:
    """Have this process told of changes of *key*, or of all keys, on any node.

    It gets ``Registered``, ``Updated`` and ``Unregistered`` as messages. Look up what there is
    after subscribing, and nothing is missed.

    Raises:
        UnknownDistributedRegistry: no such registry runs on this node.
        TypeError, ValueError: *key* is none; see ``register``.
    """
    process = ops.current()
    known_index(process.kernel, registry)
    _check_topic(key)
    registry_host(process.kernel, registry).subscribe(process, registry, key)


def unsubscribe(registry: str, key: Any = ANY) -> None:
    """Undo ``subscribe`` with the same arguments."""
    process = ops.current()
    _check_topic(key)
    registry_host(process.kernel, registry).unsubscribe(process.pid, registry, key)


def _check_topic(key: Any) -> None:
    if key is not ANY:
        encode_key(key)


# Writes: a round trip to this node's agent, and to the arbiter of a unique key


async def register(
    registry: str,
    key: Any,
    value: Any = None,
    *,
    timeout: float = CLAIM_TIMEOUT,
    pid: Pid | None = None,
) -> int:
    """Register this process, or *pid*, under *key*, until it unregisters or ends.

    When it returns, all hosts of this node see the entry; other nodes see it a little later.

    Args:
        registry: a registry's name.
        key: a str, bytes, int, bool, None, float, Pid or a tuple of these.
        value: anything that can be sent, of at most ``keys.MAX_VALUE`` bytes (8 MiB) when encoded.
        timeout: seconds to wait for the node that decides about a unique key.
        pid: a process of this host; default: this one.

    Returns:
        The fencing token: above those of all earlier holders of the key that this part of the
        cluster has known. 0 where keys are duplicate.

    Raises:
        AlreadyRegistered: the registry is unique, and a process (perhaps this one) holds *key*.
        BlockingCall: in a plain ``def`` callback.
        ClaimTimeout: it could not be decided in time; the process does not hold the key.
        NoProc: *pid* has ended.
        TypeError, ValueError: *key* is of a type that has no one encoding on all nodes, or *pid*
            is no process of this host.
        UnknownDistributedRegistry: no such registry runs on this node.
        Unsendable: *value* cannot be sent, or is too large.
    """
    process = _waiting_process("register")
    holder = _holder(process, pid, "register")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ValueError(f"register: timeout must be seconds above 0, got {timeout!r}")
    if math.isinf(timeout):
        raise ValueError("register: timeout must be finite; a claim may wait for a healed network")
    host = registry_host(process.kernel, registry)
    args = (encode_key(key), encode_value(value), timeout, False)
    outcome = await wait(process, lambda done: host.register(holder, registry, *args, done))
    if outcome[0] == "taken":
        raise AlreadyRegistered(key, outcome[1])
    if outcome[0] == "dead":
        raise NoProc("noproc", holder.pid, ("register", registry, key))
    _check(registry, key, timeout, "register()", outcome)
    found: int = outcome[1]
    return found


async def unregister(registry: str, key: Any, *, pid: Pid | None = None) -> None:
    """Remove the entries of *key* of this process, or *pid*, if any.

    When it returns, all hosts of this node see it.

    Raises:
        BlockingCall, TypeError, ValueError, UnknownDistributedRegistry: as ``register``.
        NoProc: *pid* has ended, and so have its entries.
    """
    process = _waiting_process("unregister")
    args = (registry, encode_key(key), _holder(process, pid, "unregister").pid)
    await _request(process, registry, key, "reg.remove", args, "unregister()")


async def update_value(
    registry: str,
    key: Any,
    value_or_function: Any,
    *,
    pid: Pid | None = None,
    where: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:
    """Replace the value of the entry of *key* of this process, or *pid*.

    Args:
        registry: a registry's name.
        key: as ``register``.
        value_or_function: the new value, or a function of the old one that returns it.
        pid: a process of this host; default: this one.
        where: called with a value; true says that it is the one to be replaced. For a process
            that has several entries of *key*.

    Returns:
        ``(new, old)``.

    Raises:
        NotRegistered: the process does not hold *key* (any more), or no value fits *where*.
        NotUnique: it has several such entries of *key*, where keys are duplicate.
        BlockingCall, NoProc, TypeError, ValueError: as ``register``.
        UnknownDistributedRegistry, Unsendable: as ``register``.
    """
    process = _waiting_process("update_value")
    encoded = encode_key(key)
    holder = _holder(process, pid, "update_value").pid
    index = known_index(process.kernel, registry)
    mine: list[Record] = index.own(key, holder)
    if where is not None:
        mine = [record for record in mine if where(index.entry(record).value)]
    if not mine:
        raise NotRegistered(registry, key)
    if len(mine) > 1:
        text = f"update_value(), without a where= that fits one of {len(mine)} entries of a key,"
        raise NotUnique(registry, text)
    old = index.entry(mine[0]).value
    new = value_or_function(old) if callable(value_or_function) else value_or_function
    args = (registry, encoded, holder, encode_value(new), mine[0].id)
    await _request(process, registry, key, "reg.update", args, "update_value()")
    return new, old


async def _request(
    process: Process, registry: str, key: Any, service: str, args: tuple[Any, ...], what: str
) -> None:
    host = registry_host(process.kernel, registry)
    outcome = await wait(process, lambda done: host.request(service, args, done))
    if outcome[0] == "not_registered":
        raise NotRegistered(registry, key)
    _check(registry, key, 0.0, what, outcome)


def _check(
    registry: str, key: Any, timeout: float, what: str, outcome: tuple[Any, ...]
) -> None:
    error = failure(registry, key, timeout, what, outcome)
    if error is not None:
        raise error


def _holder(process: Process, pid: Pid | None, what: str) -> Process:
    """Return the process whose entry *process* changes: itself, or *pid* of the same host."""
    if pid is None:
        return process
    if not isinstance(pid, Pid):
        raise TypeError(f"{what}: pid must be a pid, or None for this process, got {pid!r}")
    kernel = process.kernel
    found = kernel.procs.get(pid)
    if found is not None:
        return found
    if pid.host == kernel.address:
        raise NoProc("noproc", pid, what)
    raise ValueError(
        f"{what}: {pid!r} lives in host {pid.host!r}, not in this one ({kernel.address!r}): only "
        "the host of a process knows of its end in time, so call this there"
    )


def _waiting_process(what: str) -> Process:
    """Return the current process, which is about to wait.

    Raises:
        BlockingCall: it cannot.
    """
    why = f"{what}() of a distributed registry asks this node's agent, so it must be awaited"
    return must_wait(ops.current(), why)
