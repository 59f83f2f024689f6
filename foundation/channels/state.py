"""What one host knows of channels: which there are, and the middleware of its node.

Both are presences, tracked by the node's ``Keeper`` and copied to all hosts: under the topic
``foundation:channels`` by the name of the channel, under ``foundation:middleware:<node>`` by the
name of the middleware. All that is here is a cache of these, thrown away when they change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.channels.errors import MiddlewareError, UnknownChannel
from foundation.channels.middleware import Compression, Middleware
from foundation.channels.values import BUILT_IN, PRIORITIES, Channel
from foundation.cluster.live_settings import LiveSetting, settings_of
from foundation.cluster.pubsub.host import pubsub_of
from foundation.cluster.pubsub.ops import NAME
from foundation.cluster.pubsub.service import PRESENCES
from foundation.kernel.codec import loads
from foundation.kernel.process import Process

if TYPE_CHECKING:
    from foundation.cluster.pubsub.exchange import Volume

TABLE = "channels"  # where a kernel keeps its ChannelsHost
TRACKER = "foundation"  # the name of the presences
DECLARED = "foundation:channels"
MIDDLEWARE = "foundation:middleware:"  # + node
COMPRESS_ABOVE = "channels.compress_above"  # a live setting, where ``Compression`` is installed
COMPRESS_BOUNDS = (256, 16 * 1024 * 1024)


class ChannelsHost:
    """See the module docstring.

    Attributes:
        express: topic by channel, where a broadcast is a broadcast of the primitive and nothing
            else: a fast path looks here first. Empty when that has to be found out anew.
        publish: the primitive, of the topics' name.
    """

    def __init__(self, process: Process) -> None:
        pubsub = pubsub_of(process)
        self.kernel = process.kernel
        self.exchange = pubsub.exchange(NAME)
        self.publish = self.exchange.publish
        self.express: dict[str, str] = {}
        self._presences = pubsub.presences(TRACKER)
        self._channels: dict[str, Channel] = {}
        self._chains: dict[str, tuple[Middleware, ...]] = {}
        self._fresh = False
        self._tuned: tuple[bytes, int] = (b"", 0)  # a middleware, and its threshold of now
        pubsub.cluster.tables[PRESENCES + TRACKER].listeners.append(self._changed)

    def _changed(self, node: str, key: Any, new: Any, old: Any) -> None:
        self._fresh = False
        self.express.clear()
        if key[0].startswith(MIDDLEWARE):
            self.exchange.refresh()

    def _refresh(self) -> None:
        if self._fresh:
            return
        view = self._presences.view
        self._channels = {**BUILT_IN, **self._declared()}
        entries = view.entries(MIDDLEWARE + self.exchange.node)
        installed = [
            (place, name, sides, payload)
            for name, found in entries.items()
            for entry in found
            if entry.pid.host.partition("/")[0] == self.exchange.node
            for place, sides, payload in [entry.meta.value]
        ]
        self._chains = {"publish": (), "deliver": ()}
        for _, name, sides, payload in sorted(installed, key=lambda each: each[:2]):
            loaded = self._loaded(name, payload)
            if isinstance(loaded, Compression):
                self._tunable(loaded, payload)
            for side in sides:
                self._chains[side] += (loaded,)
        if not self._chains["publish"]:
            for channel in self._channels.values():
                if not channel.bulk:
                    self.express[channel.name] = channel.topic
        for channel in self._channels.values():
            self.volume(channel)
        self._fresh = True

    def _declared(self) -> dict[str, Channel]:
        """Return the declared channels; where nodes differ, the least pid decides."""
        found = {}
        for name, entries in self._presences.view.entries(DECLARED).items():
            first = min(entries, key=lambda entry: entry.pid)
            said = first.meta.value
            if (
                isinstance(said, dict)
                and isinstance(name, str)
                and said.get("priority") in PRIORITIES
            ):
                found[name] = Channel(name, said["priority"], bool(said.get("bulk")))
        return found

    def _loaded(self, name: str, payload: bytes) -> Middleware:
        try:
            return loads(payload)  # type: ignore[return-value]
        except Exception as error:
            text = f"middleware {name!r} cannot be had in host {self.kernel.address}: {error}"

            def refuse(envelope: Any, following: Any) -> Any:
                raise MiddlewareError(f"{text}; nothing passes until it can, or is removed")

            return refuse

    def _tunable(self, loaded: Compression, payload: bytes) -> None:
        """Let the threshold of what was installed as *payload* be changed while this host runs."""
        if self._tuned[0] == payload:
            loaded.threshold = self._tuned[1]

        def set_to(value: float) -> None:
            self._tuned = (payload, int(value))
            loaded.threshold = int(value)

        setting = LiveSetting(
            COMPRESS_ABOVE,
            "bytes",
            *COMPRESS_BOUNDS,
            lambda: loaded.threshold,
            set_to,
            "from what length on messages of channels are compressed",
        )
        settings_of(self.kernel).add(setting)

    def channel(self, name: Any) -> Channel:
        """Return the channel *name*.

        Raises:
            TypeError: that is no string.
            UnknownChannel: there is none.
        """
        if not isinstance(name, str):
            raise TypeError(f"a channel is named by a string, got {name!r}")
        self._refresh()
        found = self._channels.get(name)
        if found is None:
            raise UnknownChannel(name, self._channels)
        return found

    def channels(self) -> list[Channel]:
        """Return all channels, the built-in ones first."""
        self._refresh()
        return list(self._channels.values())

    def chain(self, side: str) -> tuple[Middleware, ...]:
        """Return the middleware of this node on one side, the outermost first."""
        self._refresh()
        return self._chains[side]

    def installed(self) -> list[str]:
        """Return the names of the middleware of this node."""
        return sorted(self._presences.view.entries(MIDDLEWARE + self.exchange.node))

    def volume(self, channel: Channel) -> Volume:
        """Return the counters of a channel in this host."""
        return self.exchange.count(channel.topic)


def channels_of(process: Process) -> ChannelsHost:
    """Return what the host of *process* knows of channels.

    Raises:
        NotInCluster: this node has several hosts and no cluster.
    """
    tables = process.kernel.tables
    found: ChannelsHost | None = tables.get(TABLE)
    if found is None:
        found = tables[TABLE] = ChannelsHost(process)
    return found
