"""Which servers are there, what they said of themselves, and how many of them can decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foundation.config.protocol.values import GENESIS, Configuration, Life, node_of


@dataclass(frozen=True)
class Peer:
    """What another server last said.

    Attributes:
        life: its own.
        configuration: the one it is in.
        least: acknowledgements that it wants for a majority; 0 when it expects no size.
        expected: how many nodes it expects; 0 for none.
    """

    life: Life
    configuration: Configuration
    expected: int

    @property
    def least(self) -> int:
        """How many acknowledgements are a majority of what it expects; 0 when it does not."""
        return self.expected // 2 + 1 if self.expected else 0


class Peers:
    """The servers that this one can talk to.

    Args:
        me: the life of this server.
        node: its node.
        expected: ``ClusterConfig.expected_size``, or 0.

    Attributes:
        nodes: the other nodes that are up, whether or not a server was heard there.
        known: by node, the servers that were.
    """

    def __init__(self, me: Life, node: str, expected: int) -> None:
        self.me = me
        self.node = node
        self.expected = expected
        self.nodes: dict[str, None] = {}
        self.known: dict[str, Peer] = {}

    def up(self, node: str) -> bool:
        """*node* is there; whether that is news."""
        news = node != self.node and node not in self.nodes
        if news:
            self.nodes[node] = None
        return news

    def down(self, node: str) -> bool:
        """*node* is not there (any more); whether that is news."""
        self.known.pop(node, None)
        return self.nodes.pop(node, self) is None

    def heard(self, node: str, peer: Peer) -> bool:
        """Take what a server said; whether its life or configuration is news."""
        if node not in self.nodes:
            return False  # what it said before it went down
        old = self.known.get(node)
        self.known[node] = peer
        return old != peer

    @property
    def lives(self) -> list[Life]:
        """The lives of all servers that are there, this one included, sorted."""
        return sorted([self.me, *(peer.life for peer in self.known.values())])

    def least(self) -> int:
        """Return how many acknowledgements are a majority of what is expected, by anybody."""
        own = Peer(self.me, GENESIS, self.expected).least
        return max(own, *(peer.least for peer in self.known.values()), 0)

    def whole(self) -> int:
        """Return how many nodes are expected, by anybody; 0: nobody expects a size."""
        return max(self.expected, *(peer.expected for peer in self.known.values()), 0)

    def electorate(self, configuration: Configuration) -> tuple[Life, ...]:
        """Return whose votes count in *configuration*."""
        if configuration.number:
            return configuration.members
        fresh = [p.life for p in self.known.values() if not p.configuration.number]
        return tuple(sorted([self.me, *fresh]))

    def needed(self, configuration: Configuration, forced: bool) -> int:
        """Return how many votes are a majority.

        Args:
            configuration: of which.
            forced: where no size is expected, those who are not there do not count: for a
                change of the configuration.
        """
        voters = self.electorate(configuration)
        least = configuration.least if configuration.number else self.least()
        if forced and not least:
            voters = tuple(self.there(voters))
        return max(len(voters) // 2 + 1, least)

    def there(self, lives: Iterable[Life]) -> list[Life]:
        """Return those of *lives* that are there."""
        present = dict.fromkeys(self.lives)
        return [life for life in lives if life in present]

    def proposal(self, configuration: Configuration) -> tuple[Life, ...]:
        """Return who should be the members after *configuration*.

        All who are there, and, as far as the expected size has room, members that are not:
        they may come back with their memory, and until then a majority of as many as are
        expected survives the loss of more. A member whose node has another life is dead.
        """
        lives = self.lives
        nodes = dict.fromkeys(map(node_of, lives))
        away = [life for life in configuration.members if node_of(life) not in nodes]
        room = max(0, self.whole() - len(lives))
        return tuple(sorted((*lives, *away[:room])))

    def viable(self, configuration: Configuration) -> bool:
        """Whether enough of its members are there to decide, as far as is known."""
        present = len(self.there(configuration.members))
        return present >= (configuration.majority if configuration.least else 1)
