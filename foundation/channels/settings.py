"""What channels there are, what stands between them and subscribers, how much is said on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from foundation.channels import keeper
from foundation.channels.errors import ChannelExists, ChannelsNotStarted
from foundation.channels.middleware import made, name_of, sides_of
from foundation.channels.state import channels_of
from foundation.channels.values import BUILT_IN, PRIORITIES, Channel
from foundation.cluster import pubsub
from foundation.errors import NoProc
from foundation.facade import send_through
from foundation.kernel.codec import dumps
from foundation.kernel.ops import current
from foundation.otp import call


async def declare(name: str, *, priority: str = "normal", bulk: bool | None = None) -> None:
    """Make *name* a channel, on all nodes, for as long as this node lives.

    To declare what is there, the same way, does nothing; so each node may declare what its code
    uses.

    Args:
        name: of the channel; any string that is not empty.
        priority: ``"high"`` and ``"normal"`` are never delayed by bulk; ``"low"`` is bulk.
        bulk: messages may be large, and may wait; default: when *priority* is ``"low"``.

    Raises:
        ChannelExists: there is another of that name.
        ChannelsNotStarted: this node runs without its facades.
        TypeError, ValueError: an argument is wrong.
        NotInProcess: it was called outside a process.

    What this does:
        Has this node's keeper, by a ``call`` to ``foundation.channels.keeper``, be present under
        the name of the channel, with what it is like. Each host of each node has a copy, which
        ``broadcast`` and ``subscribe`` look at.

    Equivalent direct messages::

        from foundation.cluster.pubsub import Tracker

        said = {"priority": priority, "bulk": priority == "low" if bulk is None else bulk}
        await Tracker.track("foundation:channels", name, said, name="foundation")

    When to bypass:
        For a channel that is to end with the process that declares it, as the block above; for
        topics, which need no declaration.
    """
    wanted = _checked_channel(name, priority, bulk)
    found = {each.name: each for each in channels()}.get(name)
    if found is not None and found != wanted:
        raise ChannelExists(wanted, found)
    if name not in BUILT_IN:
        said = {"priority": wanted.priority, "bulk": wanted.bulk}
        await _ask("declare", ("declare", name, said))


def _checked_channel(name: Any, priority: Any, bulk: Any) -> Channel:
    if not isinstance(name, str):
        raise TypeError(f"a channel is named by a string, got {name!r}")
    if not name:
        raise ValueError("the name of a channel must not be empty")
    if priority not in PRIORITIES:
        raise ValueError(f"priority must be one of {PRIORITIES}, got {priority!r}")
    if bulk not in (None, True, False):
        raise TypeError(f"bulk must be None, True or False, got {bulk!r}")
    bulk = priority == "low" if bulk is None else bool(bulk)
    if bulk and priority == "high":
        raise ValueError("a channel cannot be bulk, which waits for others, and of high priority")
    return Channel(name, priority, bulk)


async def _ask(what: str, request: Any) -> Any:
    try:
        return await send_through(call, keeper.NAME, request, timeout=30)
    except NoProc:
        raise ChannelsNotStarted(what) from None


async def use(
    middleware: Any,
    *,
    name: str | None = None,
    sides: str | Iterable[str] | None = None,
    **config: Any,
) -> str:
    """Put *middleware* between publishers and subscribers, in all hosts of this node.

    Args:
        middleware: a function of ``(envelope, next)``; an object that can be called so; or its
            class. See ``foundation.channels.middleware``. It is sent to each host, as messages are.
        name: to replace or remove it by; default: its qualified name. What is installed under a
            name that is taken takes its place.
        sides: ``"publish"``, ``"deliver"`` or both; default: what its attribute ``sides`` says,
            else both.
        **config: further arguments of the function, or those of the class.

    Returns:
        Its name.

    Raises:
        TypeError, ValueError: it is none (it cannot be called as *middleware* says, or is
            ``async``), or an argument is wrong.
        Unsendable: it cannot be sent to other hosts.
        ChannelsNotStarted: this node runs without its facades.
        NotInProcess: it was called outside a process.

    What this does:
        Has this node's keeper, by a ``call`` to ``foundation.channels.keeper``, be present with
        the middleware, encoded. Each host of this node has a copy; when this returns, what is
        broadcast in any of them passes through it.

    Equivalent direct messages::

        from foundation.channels.middleware import made, name_of, sides_of
        from foundation.cluster.pubsub import Tracker
        from foundation.kernel.codec import dumps
        from foundation.otp import me

        built = made(middleware, config)
        label = name or name_of(built)
        said = (100, sides_of(built, sides), dumps(built))
        topic = "foundation:middleware:" + me().host.partition("/")[0]
        await Tracker.track(topic, label, said, name="foundation")
        label

    When to bypass:
        For middleware that is to end with the process that installs it, or needs a place of its
        own in the order (the number), as the block above.
    """
    built = made(middleware, config)
    name = name_of(built) if name is None else name
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be None or a string that is not empty, got {name!r}")
    await _ask("use", ("use", name, sides_of(built, sides), dumps(built)))
    return name


async def remove(name: str) -> bool:
    """Take away the middleware *name* of this node; False when there is none.

    Raises:
        ChannelsNotStarted: this node runs without its facades.
        NotInProcess: it was called outside a process.

    What this does:
        Has this node's keeper be present with it no more.

    Equivalent direct messages::

        from foundation.otp import call

        await call("foundation.channels.keeper", ("remove", name))

    When to bypass:
        Where a process tracks middleware itself: ``Tracker.untrack``.
    """
    if not isinstance(name, str):
        raise TypeError(f"middleware is removed by its name, got {name!r}")
    return bool(await _ask("remove", ("remove", name)))


async def drained(*, below: int = 1024 * 1024, timeout: float | None = None) -> bool:
    """Wait until this host has less than *below* bytes of bulk to send to any one host.

    Awaited after each message on ``data``, it makes the sender as fast as the slowest host, and
    nothing is dropped.

    Args:
        below: bytes, 1 or more; 1 waits until nothing waits.
        timeout: seconds; None waits as long as it takes.

    Returns:
        False when the time passed first.

    Raises:
        TypeError, ValueError: an argument is no such number.
        NotInProcess: it was called outside a process.

    What this does:
        Waits for the lanes of this host; sends nothing.

    Equivalent direct messages::

        from foundation.cluster.pubsub import drained

        await drained(below=below, timeout=timeout)

    When to bypass:
        It is the primitive itself.
    """
    return await send_through(pubsub.drained, below=below, timeout=timeout)


def channels() -> list[Channel]:
    """Return all channels, the built-in ones first.

    Raises:
        NotInProcess, NotInCluster: as ``pubsub.subscribe``.

    What this does:
        Looks into this host's copy of what was declared.

    Equivalent direct messages::

        from foundation.channels import BUILT_IN, Channel
        from foundation.cluster.pubsub import Tracker

        declared = Tracker.list("foundation:channels", name="foundation")
        [*BUILT_IN.values(), *(Channel(key, **min(declared[key], key=lambda m: m.pid).value)
                               for key in declared)]

    When to bypass:
        To see which nodes declared a channel: the pids in ``Tracker.list``.
    """
    return channels_of(current()).channels()


def installed() -> list[str]:
    """Return the names of the middleware of this node, sorted.

    Raises:
        NotInProcess, NotInCluster: as ``pubsub.subscribe``.

    What this does:
        Looks into this host's copy of what was installed.

    Equivalent direct messages::

        from foundation.cluster.pubsub import Tracker
        from foundation.otp import me

        node = me().host.partition("/")[0]
        sorted(Tracker.list("foundation:middleware:" + node, name="foundation"))

    When to bypass:
        To see their order and sides: the values in ``Tracker.list``.
    """
    return channels_of(current()).installed()


def statistics() -> dict[str, pubsub.Volume]:
    """Return how much was said on each channel in this host, since channels were first used here.

    What was said by the primitives on the topic of a channel counts, too. For what waits, or was
    dropped, see ``pubsub.lanes``.

    Raises:
        NotInProcess, NotInCluster: as ``pubsub.subscribe``.

    What this does:
        Reads the counters of this host.

    Equivalent direct messages::

        from foundation.channels import channels
        from foundation.cluster.pubsub import volume

        {channel.name: volume(channel.topic) for channel in channels()}

    When to bypass:
        For topics that are no channels: ``pubsub.volume``.
    """
    return {each.name: pubsub.volume(each.topic) for each in channels()}
