"""What processes do with configuration; see the package's docstring."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Literal, overload

from foundation.cluster import pubsub
from foundation.cluster.pubsub import Subscription
from foundation.config.asking import ask, check, declared, look
from foundation.config.declarations import (
    Validator,
    check_kind,
    check_validator,
    declaration,
    unknown,
)
from foundation.config.messages import (
    TIMEOUT,
    Declare,
    GetQuorum,
    Reset,
    ResetClusterWide,
    Set,
    SetClusterWide,
    Status,
)
from foundation.config.names import TABLE
from foundation.config.paths import dotted, parse, parse_prefix, pattern
from foundation.config.plain import encode
from foundation.config.values import ConfigStatus, ConfigVersion
from foundation.facade import note, send_through, watching
from foundation.otp.registry import meta

_MISSING: Any = object()

Path = str | tuple[str, ...]


@overload
def get(path: Path, default: Any = ..., *, consistency: Literal["local"] = ...) -> Any: ...
@overload
def get(
    path: Path, default: Any = ..., *, consistency: Literal["quorum"], timeout: float = ...
) -> Coroutine[Any, Any, Any]: ...
def get(
    path: Path,
    default: Any = _MISSING,
    *,
    consistency: Literal["local", "quorum"] = "local",
    timeout: float = TIMEOUT,
) -> Any:
    """Return what *path* has.

    What this does: reads the table of this host, in no more than a dictionary look-up, and never
    waits. It holds, in this order: what was set on this node alone, what was set cluster-wide,
    the default that was declared. A cluster-wide value may have been replaced elsewhere a moment
    ago; a node that is cut off shows what it last heard.

    With ``consistency="quorum"`` it asks a majority instead, and the result is to be awaited:
    the cluster-wide value that is the latest at some moment of the call, whatever is set on this
    node alone. Where nobody has set one, the default.

    Equivalent direct messages::

        from foundation.config.paths import parse
        from foundation.otp.registry import meta

        meta("foundation.config.values", parse(path)).value

    With ``consistency="quorum"``: ``await call("foundation.config", GetQuorum(path, timeout))``,
    which is ``(value,)``, or ``()`` where there is nothing.

    When to bypass: to see where a value comes from: the entry of the registry has ``source`` and
    ``version``, too. From outside the node's processes ``node.run(config.get, path)`` reads it in
    one of them.

    Args:
        path: ``"feature.enabled"`` or ``("feature", "enabled")``.
        default: returned where there is nothing; without it that is an error.
        consistency: ``"local"`` or ``"quorum"``.
        timeout: seconds to wait for a majority.

    Raises:
        UnknownPath: it has no value on this node, and nobody has declared it.
        QuorumNotReached: (quorum) no majority answered in time.
        ConfigUnavailable: no configuration server runs on this node, or it is being started.
        TypeError, ValueError: *path* is no path, or *consistency* or *timeout* is wrong.
        NotInProcess: it was called outside a process.
    """
    parts = parse(path)
    if consistency != "local":
        if consistency != "quorum":
            raise ValueError(f"get: consistency must be 'local' or 'quorum', got {consistency!r}")
        return _get_quorum(parts, default, timeout)
    if watching.plans:
        note(meta, TABLE, parts)
    found = look(parts)
    if found is not None:
        return found[0]
    names = declared()  # or an error: the server is being started
    if default is _MISSING:
        raise unknown(dotted(parts), names)
    return default


async def _get_quorum(parts: tuple[str, ...], default: Any, timeout: float) -> Any:
    found = await ask(GetQuorum(parts, timeout), parts, timeout)
    if found:
        return found[0]
    if default is _MISSING:
        raise unknown(dotted(parts), declared())
    return default


async def set(path: Path, value: Any) -> None:
    """Set *path* on this node alone, above any cluster-wide value.

    What this does: has the value checked here, in this process, by what was declared; then the
    node keeps it, in memory, until ``reset`` or until the node ends. When it returns
    all hosts of the node see it, and subscribers have been told.

    Equivalent direct messages::

        from foundation.config.messages import Set
        from foundation.otp import call

        await call("foundation.config", Set(path, value))

    When to bypass: to set it on another node, send ``Set`` to ``("foundation.config", node)``; the
    validator is not asked then.

    Args:
        path: one that was declared.
        value: plain data, of at most 256 KB.

    Raises:
        InvalidValue, UnknownPath: as ``validate``; nothing was sent.
        ConfigUnavailable: as ``get``.
        CallTimeout: the node's server is blocked.
        TypeError, ValueError: *path* is no path.
    """
    check(path, value)
    await ask(Set(path, value), path)


async def set_cluster_wide(
    path: Path, value: Any, *, quorum: str = "majority", timeout: float = TIMEOUT
) -> ConfigVersion:
    """Set *path* on all nodes, or on none.

    What this does: has the value checked here, in this process, by what was declared on this
    node; then the node's server has it accepted by a majority of the servers, and tells all that
    can be reached. When it returns, it is decided: it survives the loss of any minority, every
    later write comes after it, this node's hosts see it, and others do a moment later, or when
    they can be reached again. Writes of one path are in one order, which the versions show: those
    that come at once, from any nodes, are carried out one after another.

    A majority is more than half of ``ClusterConfig.expected_size``, or of the servers where more
    take part. Without a size it is one of the servers that are there: then both sides of a split
    go on, each with values of its own, and after the heal the higher version stays.

    Equivalent direct messages::

        from foundation.config.messages import SetClusterWide
        from foundation.otp import call

        await call("foundation.config", SetClusterWide(path, value, timeout), timeout=timeout + 6)

    When to bypass: to write from outside the node's processes, or through another node. A refusal
    comes as ``Failed(error)`` then, and the validator is not asked.

    Args:
        path: one that was declared on this node.
        value: plain data, of at most 256 KB.
        quorum: ``"majority"``; nothing else is supported.
        timeout: seconds to go on trying: a majority may come back in the meantime.

    Returns:
        The version. Its number is higher than that of any write that ended before.

    Raises:
        QuorumNotReached: no majority in time, or other writes of the path were before it all the
            time. Nobody was asked to accept the value: it has not been applied anywhere, and will
            not be.
        ConfigUncertain: some had been asked to accept it when the time was over (as when the
            majority was lost in between), or this node's server ended, or this node was out of
            the cluster for so long that the others do not remember. It has been applied or not;
            if not, the next read or write of the path by anybody decides which. It never takes
            effect twice.
        InvalidValue, UnknownPath: as ``validate``; nothing was sent.
        ConfigUnavailable: as ``get``.
        TypeError, ValueError: *path*, *quorum* or *timeout* is wrong.
    """
    if quorum != "majority":
        raise ValueError(
            f"set_cluster_wide: quorum must be 'majority', got {quorum!r}: fewer could lose the "
            "value, and more could not be reached when one node is down"
        )
    check(path, value)
    message = SetClusterWide(path, value, timeout)
    version: ConfigVersion = await ask(message, path, timeout)
    return version


async def reset(path: Path | None = None) -> None:
    """Undo ``set`` of *path*, or of all paths, on this node.

    What this does: the node's server forgets the value that was set on this node alone, so that
    the path has its cluster-wide value again, or its default. Does nothing where there was none.

    Equivalent direct messages::

        from foundation.config.messages import Reset
        from foundation.otp import call

        await call("foundation.config", Reset(path))

    When to bypass: for another node, send ``Reset`` to ``("foundation.config", node)``.

    Args:
        path: which; None: all.

    Raises:
        ConfigUnavailable, CallTimeout, TypeError, ValueError: as ``set``.
    """
    await ask(Reset(path), path)


async def reset_cluster_wide(path: Path, *, timeout: float = TIMEOUT) -> ConfigVersion:
    """Remove the cluster-wide value of *path*: each node has its default again.

    What this does: it is a write as ``set_cluster_wide`` is, with a version, of no value.

    Equivalent direct messages::

        from foundation.config.messages import ResetClusterWide
        from foundation.otp import call

        await call("foundation.config", ResetClusterWide(path, timeout), timeout=timeout + 6)

    When to bypass: as ``set_cluster_wide``.

    Args:
        path: which; it need not be declared.
        timeout: as ``set_cluster_wide``.

    Raises:
        QuorumNotReached, ConfigUncertain, ConfigUnavailable, TypeError, ValueError: as
            ``set_cluster_wide``.
    """
    version: ConfigVersion = await ask(ResetClusterWide(path, timeout), path, timeout)
    return version


async def declare(
    path: Path,
    type: Any = None,
    default: Any = None,
    *,
    validator: Validator | None = None,
) -> None:
    """Declare *path* on this node: which values it may hold, and what it has at first.

    What this does: the node keeps the declaration, as data, until it ends; all its hosts see
    it, and a server that is started again has it. Only declared paths can be set, as a mistyped
    path would be set in silence otherwise.
    To declare a path again replaces the declaration; what it holds stays. Every node declares
    its own: declare in the ``init`` of what runs on all.

    Equivalent direct messages::

        from foundation.config.declarations import declaration
        from foundation.config.messages import Declare
        from foundation.otp import call

        made = declaration(type, default, validator)
        await call("foundation.config", Declare(path, made.kinds, made.default, made.validator))

    When to bypass: for another node, send ``Declare`` to ``("foundation.config", node)``.

    Args:
        path: ``"feature.enabled"`` or ``("feature", "enabled")``.
        type: ``bool, int, float, str, bytes, list, tuple, dict, set, frozenset`` or
            ``NoneType``, or a tuple of such; None: any of them. A bool is no int here; an int
            will do for a float.
        default: plain data that fits; None always does.
        validator: called with a value before it is set, in the process that sets it; returns
            False or raises to refuse it. It may be called in every host of the node.

    Raises:
        InvalidValue: *default* does not fit.
        TypeError, ValueError: *path*, *type* or *validator* is wrong.
        Unsendable: *validator* cannot be sent to the other hosts.
        ConfigUnavailable, CallTimeout: as ``set``.
    """
    made = declaration(type, default, validator)
    name = dotted(parse(path))
    encode(name, default)
    if default is not None:
        check_kind(name, default, made.kinds)
        check_validator(name, default, made.validator)
    await ask(Declare(path, made.kinds, default, made.validator), path)


def validate(path: Path, value: Any) -> None:
    """Raise unless *path* may be set to *value*, as ``set`` and ``set_cluster_wide`` do.

    What this does: looks up what was declared in the table of this host, and calls the validator
    in this process.

    Equivalent direct messages::

        from foundation.config.declarations import check_kind, check_validator
        from foundation.config.paths import dotted, parse
        from foundation.config.plain import encode
        from foundation.otp.registry import meta

        name = dotted(parse(path))
        kinds, validator = meta("foundation.config.values", name)
        encode(name, value)
        check_kind(name, value, kinds)
        check_validator(name, value, validator)

    When to bypass: to change the check, declare the path with another validator.

    Args:
        path: which.
        value: to check.

    Raises:
        UnknownPath: nobody has declared *path* on this node.
        InvalidValue: the value is no plain data, too large, of another type than was declared,
            or the validator refuses it.
        ConfigUnavailable, TypeError, ValueError: as ``get``.
    """
    if watching.plans:
        note(meta, TABLE, dotted(parse(path)))
    check(path, value)


def subscribe(prefix: Path = ()) -> Subscription:
    """Have this process told when what ``get`` returns on this node changes, until it ends.

    What this does: subscribes to the topics of all paths that begin with *prefix*, itself
    included. ``ConfigChanged`` comes as a message, for changes of this node alone and for
    cluster-wide ones, those of one path in order. When it comes, ``get`` shows that change, or a
    later one. A cluster-wide change below a value that was set on this node alone changes
    nothing here, and is not told. Await it and then ``get``, and nothing is missed.

    Equivalent direct messages::

        from foundation.cluster import pubsub
        from foundation.config.paths import parse_prefix, pattern

        await pubsub.subscribe(pattern=pattern(parse_prefix(prefix)))

    When to bypass: to be told of several prefixes with tags, or of single paths, subscribe to the
    topics ``foundation:config/feature/enabled/`` as you like.

    Args:
        prefix: ``"feature"`` is ``feature`` and all paths ``feature.*``; ``()`` is all paths.

    Returns:
        The subscription: ``await`` it, or end it with ``with`` or ``unsubscribe``.

    Raises:
        TypeError, ValueError: *prefix* is no path.
        NotInProcess, NotInCluster: as ``foundation.cluster.pubsub.subscribe``.
    """
    return send_through(pubsub.subscribe, pattern=pattern(parse_prefix(prefix)))


def unsubscribe(prefix: Path = ()) -> bool:
    """End the subscription of this process to *prefix*; False when there is none.

    What this does: undoes ``subscribe`` with the same prefix. What is in the mailbox stays.

    Equivalent direct messages::

        from foundation.cluster import pubsub
        from foundation.config.paths import parse_prefix, pattern

        pubsub.unsubscribe(pattern=pattern(parse_prefix(prefix)))

    When to bypass: it ends with the process anyway.

    Raises:
        TypeError, ValueError, NotInProcess, NotInCluster: as ``subscribe``.
    """
    return send_through(pubsub.unsubscribe, pattern=pattern(parse_prefix(prefix)))


def paths() -> tuple[str, ...]:
    """Return the paths that are declared on this node, sorted: those that can be set.

    What this does: reads the table of this host.

    Equivalent direct messages::

        from foundation.otp.registry import meta

        meta("foundation.config.values", None, ())

    When to bypass: never; this is all it does. From outside: ``node.run(config.paths)``.

    Raises:
        ConfigUnavailable, NotInProcess: as ``get``.
    """
    if watching.plans:
        note(meta, TABLE, None, ())
    return declared()


def version(path: Path) -> ConfigVersion | None:
    """Return the version of the value that ``get`` returns; None when it is not cluster-wide.

    What this does: reads the table of this host.

    Equivalent direct messages::

        from foundation.config.paths import parse
        from foundation.otp.registry import meta

        meta("foundation.config.values", parse(path)).version

    When to bypass: the entry has ``source``, too. From outside: ``node.run(config.version, path)``.

    Raises:
        UnknownPath, ConfigUnavailable, TypeError, ValueError, NotInProcess: as ``get``.
    """
    parts = parse(path)
    if watching.plans:
        note(meta, TABLE, parts)
    found = look(parts)
    if found is None:
        raise unknown(dotted(parts), declared())
    there: ConfigVersion | None = found.version
    return there


async def status() -> ConfigStatus:
    """Return the state of this node's server: whether it can decide, with whom, what it has.

    What this does: asks the server.

    Equivalent direct messages::

        from foundation.config.messages import Status
        from foundation.otp import call

        await call("foundation.config", Status())

    When to bypass: for another node, send ``Status`` to ``("foundation.config", node)``.

    Raises:
        ConfigUnavailable, CallTimeout: as ``set``.
    """
    found: ConfigStatus = await ask(Status(), "status")
    return found
