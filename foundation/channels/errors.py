"""What the facade ``channels`` refuses."""

from __future__ import annotations

from collections.abc import Iterable

from foundation.errors import FoundationError, NodeError


class UnknownChannel(FoundationError, LookupError):
    """There is no channel of that name.

    Attributes:
        name: that was given.
        known: the channels there are.
    """

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(name, self.known)

    def __str__(self) -> str:
        return (
            f"there is no channel {self.name!r}; channels are {', '.join(self.known)}. Make it one "
            f"by `await channels.declare({self.name!r})`, or do without: foundation.cluster.pubsub "
            f"has broadcast('foundation:{self.name}', message), and subscribe"
        )


class ChannelExists(FoundationError, ValueError):
    """A channel of that name is there, and is another.

    Attributes:
        wanted: what was to be declared.
        found: what is there.
    """

    def __init__(self, wanted: object, found: object) -> None:
        self.wanted = wanted
        self.found = found
        super().__init__(wanted, found)

    def __str__(self) -> str:
        return (
            f"{self.wanted} cannot be declared: there is {self.found}, and a channel is the same "
            "on all nodes; choose another name"
        )


class ChannelsNotStarted(NodeError):
    """This node was started without its facades, so nothing keeps what was declared."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)

    def __str__(self) -> str:
        return (
            f"channels.{self.what}() needs the server 'foundation.channels.keeper' of this node: "
            "start the node with cluster=... or facades=True, or list channels.specs() under a "
            "supervisor. The four built-in channels work without"
        )


class MiddlewareError(FoundationError):
    """A middleware did what none may do, or cannot be had in this host."""
