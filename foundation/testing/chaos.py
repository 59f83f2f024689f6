"""Faults drawn from a seed, for a simulated cluster: what breaks, when, and for how long.

    chaos = Chaos(cluster)
    chaos.run(60, check)          # break things for a minute, calling check() all the time
    chaos.heal()                  # mend everything, and wait until all nodes agree
    print(chaos.story)            # what happened
"""

from __future__ import annotations

import random
from collections.abc import Callable

from foundation.testing.cluster_sim import ClusterSimulation, Faults

CHECK_EVERY = 0.05  # virtual seconds


class Chaos:
    """Breaks a cluster at random.

    Args:
        cluster: it has formed.
        rng: draws everything; None is one from the cluster's seed.
        keep: so many nodes are up at any time.
        actions: which faults, by name; None is all: ``crash, restart, pause, cut, partial,
            one_way, heal, host, clock, network``.
        calm: mean seconds between two faults.
    """

    def __init__(
        self,
        cluster: ClusterSimulation,
        rng: random.Random | None = None,
        *,
        keep: int = 2,
        actions: tuple[str, ...] | None = None,
        calm: float = 1.5,
    ) -> None:
        self.cluster = cluster
        self.story: list[str] = []
        self._rng = rng or random.Random(f"{cluster.seed} chaos")
        self._keep = keep
        self._calm = calm
        every: dict[str, Callable[[], str]] = {
            "crash": self._crash,
            "restart": self._restart,
            "pause": self._pause,
            "cut": self._cut,
            "partial": self._partial,
            "one_way": self._one_way,
            "heal": self._heal,
            "host": self._host,
            "clock": self._clock,
            "network": self._network,
        }
        self._actions = [every[name] for name in actions or every]

    def run(self, seconds: float, check: Callable[[], None] | None = None) -> None:
        """Break things for *seconds*; *check* is called every ``CHECK_EVERY`` seconds."""
        cluster = self.cluster
        end = cluster.now + seconds
        strike = cluster.now + self._rng.expovariate(1 / self._calm)
        try:
            while cluster.now < end:
                if cluster.now >= strike:
                    self.strike()
                    strike = cluster.now + self._rng.expovariate(1 / self._calm)
                cluster.advance(CHECK_EVERY)
                if check is not None:
                    check()
        except BaseException as error:
            error.add_note("\n".join([cluster.where(), *self.story[-30:]]))
            raise

    def strike(self) -> None:
        """Break, or mend, one thing."""
        what = self._rng.choice(self._actions)()
        if what:
            self.story.append(f"{self.cluster.now:9.3f}  {what}")

    def heal(self, seconds: float = 60.0) -> float:
        """Mend everything; return how long it took until all nodes agreed."""
        cluster = self.cluster
        cluster.network.heal()
        cluster.network.faults = Faults()
        for node in cluster.nodes.values():
            if node.paused:
                node.resume()
            cluster.start(node.name)
        self.story.append(f"{cluster.now:9.3f}  everything is mended")
        try:
            return cluster.until(cluster.agreed, seconds)
        except BaseException as error:
            error.add_note("\n".join([cluster.where(), *self.story[-30:]]))
            raise

    # Faults; each returns what it did, or nothing

    def _any(self, up: bool = True) -> str | None:
        names = [name for name, node in self.cluster.nodes.items() if node.up is up]
        return self._rng.choice(names) if names else None

    def _crash(self) -> str:
        name = self._any()
        if name is None or len(self.cluster.live()) <= self._keep:
            return ""
        refused = self._rng.random() < 0.7
        self.cluster.crash(name, refused=refused)
        return f"{name} is killed" if refused else f"the machine of {name} vanishes"

    def _restart(self) -> str:
        name = self._any(up=False)
        if name is None:
            return ""
        self.cluster.start(name)
        return f"{name} is started"

    def _pause(self) -> str:
        name = self._any()
        if name is None:
            return ""
        seconds = self._rng.choice((0.2, 1.0, 4.0, 8.0))
        self.cluster.pause(name, seconds)
        return f"{name} is stopped for {seconds} s"

    def _cut(self) -> str:
        names = list(self.cluster.nodes)
        part = self._rng.sample(names, self._rng.randint(1, max(1, len(names) // 2)))
        self.cluster.isolate(part)
        return f"{', '.join(sorted(part))} are cut off"

    def _partial(self) -> str:
        if len(self.cluster.nodes) < 2:
            return ""
        one, other = self._rng.sample(list(self.cluster.nodes), 2)
        self.cluster.network.cut(one, other)
        return f"{one} and {other} are cut"

    def _one_way(self) -> str:
        if len(self.cluster.nodes) < 2:
            return ""
        one, other = self._rng.sample(list(self.cluster.nodes), 2)
        self.cluster.network.cut(one, other, one_way=True)
        return f"{one} does not reach {other}"

    def _heal(self) -> str:
        self.cluster.network.heal()
        return "the network is whole"

    def _host(self) -> str:
        name = self._any()
        if name is None:
            return ""
        node = self.cluster.nodes[name]
        workers = [host for host in node.hosts if host != "control"]
        host = self._rng.choice(workers)
        node.crash_host(host)
        return f"{name}/{host} is killed"

    def _clock(self) -> str:
        name = self._any()
        if name is None:
            return ""
        self.cluster.nodes[name].clock += self._rng.choice((0.5, 3.0, 30.0))
        return f"the clock of {name} jumps to {self.cluster.nodes[name].clock} s ahead"

    def _network(self) -> str:
        rng = self._rng
        low = rng.choice((0.0002, 0.001, 0.01))
        self.cluster.network.faults = Faults(
            delay=(low, low * rng.choice((2, 10))),
            loss=rng.choice((0.0, 0.02, 0.1)),
            duplicate=rng.choice((0.0, 0.05)),
            reorder=rng.choice((0.0, 0.1)),
            gap=rng.choice((0.0, 0.002)),
        )
        return f"the network has {self.cluster.network.faults}"
