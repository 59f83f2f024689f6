"""Whole clusters in one interpreter, under virtual time, from one seed.

Each node has a control host with the node's agent and a few worker hosts, as a real one; only
the network, the clock and the operating-system processes are simulated. Nodes can be crashed,
restarted, paused and cut off; see ``ClusterNetwork`` for what the network may do.

Example::

    def test_a_name_is_found_on_the_other_node():
        with ClusterSimulation(seed=1, nodes=2) as cluster:
            cluster.form()
            cluster.run("a", register_something)
            assert cluster.run("b", look_it_up)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

from foundation.cluster.agent import Agent
from foundation.cluster.config import ClusterConfig
from foundation.cluster.setup import install_agent, install_host
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Process
from foundation.otp.application import ROOT, root_specs, spawn_root
from foundation.otp.child_spec import ChildSpec
from foundation.otp.kernel_setup import install
from foundation.runtime.driver import AsyncioDriver
from foundation.runtime.overview import Overlook
from foundation.runtime.placement import HostPlacer
from foundation.testing.bodies import Body, parked, set_done
from foundation.testing.cluster_network import ClusterNetwork, Faults
from foundation.testing.virtual_loop import Deadlock, VirtualLoop

REFUSED_AFTER = 0.003  # seconds until others find that a killed node refuses connections


class NodeDriver(AsyncioDriver):
    """A driver whose node can be paused: callbacks wait until it goes on."""

    def __init__(self, node: SimNode, loop: VirtualLoop, **options: Any) -> None:
        super().__init__(loop, **options)
        self._node = node
        self.call_soon = self._soon
        self.now = self.wall = lambda: loop.time() + node.clock

    def _soon(self, callback: Callable[[], None]) -> Any:
        return self.loop.call_soon(self._node.gate, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """Run *callback* after *delay* seconds, or when the node goes on."""
        return self.loop.call_later(delay, self._node.gate, callback)


class SimNodeHost:
    """One host of a node; also what its placer and its cluster component see of the runtime."""

    def __init__(self, node: SimNode, name: str, incarnation: int) -> None:
        self.node = node
        self.address = f"{node.name}/{name}"
        self.replaces_workers = False
        self.up = True
        simulation = node.simulation
        rng = simulation.scheduling
        driver = NodeDriver(
            node,
            simulation.loop,
            send_frame=lambda peer, frame: simulation.network.send_frame(
                self.address, peer, frame
            ),
            report=lambda report: simulation.reports.append((self.address, report)),
        )
        self.kernel = Kernel(
            self.address,
            driver,
            incarnation=incarnation,
            budget=rng.choice((1, 3, 200)),
            max_slices=rng.choice((5, 100)),
            max_hand_overs=rng.choice((0, 1, 50)),
            pick=lambda ready: rng.randrange(len(ready)),
        )
        self.kernel.placer = HostPlacer(cast(Any, self))
        if name != "control":
            self.kernel.names.authority = f"{node.name}/control"
        install(self.kernel)
        self.overlook = Overlook(self.kernel)

    @property
    def in_service(self) -> dict[str, Any]:
        """The other hosts of this node."""
        return dict(self.kernel.remote.neighbours)

    async def open_dedicated(self, label: str) -> str:
        """There is no isolation in a simulation: any worker host will do."""
        return self.kernel.placer.place("worker")  # type: ignore[no-any-return]

    def foreign_up(self, address: str, incarnation: int, actor: Any) -> None:
        """A host of another node can be reached."""
        self.kernel.remote.foreign.up(address, incarnation)

    def fail(self, text: str) -> None:
        """The node cannot go on; a simulated one is only marked."""
        self.node.failure = text

    def foreign_down(self, address: str, reason: str) -> None:
        """A host of another node is gone."""
        self.kernel.remote.host_down(address, reason)


class SimWire:
    """What an agent says goes into the simulated network."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self.address = node.address
        self.muted: frozenset[str] = frozenset()

    def flush(self) -> None:
        """There is nothing to write."""

    def mute(self, addresses: Iterable[str]) -> None:
        """Throw away what goes to and comes from *addresses*."""
        self.muted = frozenset(addresses)

    def send(self, address: str, payload: bytes) -> None:
        """Carry *payload*."""
        simulation = self._node.simulation
        other = simulation.at_address(address)
        if other is not None and address not in self.muted:
            simulation.network.send_message(self._node.key, other.key, payload)


class SimNode:
    """One node: its present life, if any.

    Attributes:
        agent: of the present life.
        hosts: by name: ``"control"``, ``"w1"`` …
        up: False after a crash.
        failure: why it cannot go on, as the program of a real one would be told.
        clock: seconds that its monotonic clock is ahead; step it forward only.
    """

    agent: Agent
    wire: SimWire

    def __init__(
        self, simulation: ClusterSimulation, name: str, config: ClusterConfig, workers: int
    ) -> None:
        self.simulation = simulation
        self.name = name
        self.address = f"{name}:1"
        self.config = config
        self.workers = workers
        self.life = 0
        self.up = False
        self.paused = False
        self.clock = 0.0
        self.failure = ""
        self.hosts: dict[str, SimNodeHost] = {}
        self._waiting: list[Callable[..., None]] = []

    @property
    def key(self) -> str:
        """Under what the simulation keeps this node: its name, unless it pretends to another."""
        return self.address.rpartition(":")[0]

    def gate(self, callback: Callable[..., None], *args: Any) -> None:
        """Run *callback* now, or when the node goes on."""
        if self.paused:
            self._waiting.append(lambda: callback(*args))
        else:
            callback(*args)

    def boot(self) -> None:
        """Begin a new life."""
        self.life += 1
        self.up = True
        simulation = self.simulation
        first = self.life * 1000
        self.hosts = {"control": SimNodeHost(self, "control", first)}
        control = self.hosts["control"]
        seed = simulation.seeds.getrandbits(32)
        config = replace(self.config, seed=seed)
        self.wire = SimWire(self)
        self.agent = install_agent(
            control.kernel, config, control, self.wire, generation=self.life
        )
        for number in range(1, self.workers + 1):
            self.start_host(f"w{number}", first)
        self.agent.start()
        if simulation.app:
            spawn_root(control.kernel, simulation.app)

    def start_host(self, name: str, incarnation: int) -> SimNodeHost:
        """Start a worker host."""
        host = self.hosts[name] = SimNodeHost(self, name, incarnation)
        install_host(host.kernel, self.config, host, f"{self.name}/control")
        for other in self.hosts.values():
            if other is not host and other.up:
                other.kernel.remote.host_up(host.address, incarnation)
                host.kernel.remote.host_up(other.address, other.kernel.incarnation)
        return host

    def crash_host(self, name: str, back_after: float = 0.02) -> None:
        """Kill a worker host; another takes its place."""
        host = self.hosts[name]
        if not host.up:
            return
        host.up = False
        host.kernel.close()
        life, incarnation = self.life, host.kernel.incarnation
        for other in self.hosts.values():
            if other.up:
                other.kernel.remote.host_down(host.address, "killed")

        def back() -> None:
            if self.up and self.life == life:
                self.start_host(name, incarnation + 1)

        self.simulation.loop.call_later(back_after, back)

    def end_pause(self) -> None:
        """Forget what has come during a pause: the node is dead."""
        self.paused = False
        self._waiting.clear()

    def resume(self) -> None:
        """Go on after a pause, with all that has come meanwhile."""
        loop = self.simulation.loop
        if not loop.is_running():  # servers need a loop that runs
            loop.call_soon(self.resume)
            return
        self.paused = False
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()


class ClusterSimulation:
    """A cluster under virtual time; see the module docstring.

    Args:
        seed: decides everything that could happen in several ways.
        nodes: how many, or their names.
        workers: worker hosts of each node.
        config: of all nodes; the seed is drawn.
        configs: by node name, what differs.
        faults: of the network, from the start.
        app: what runs on each node, as for ``foundation.start``.

    Attributes:
        nodes: by name.
        network: cuts and faults.
        random: a generator of the test's own, from the same seed.
        reports: ``(host, report)`` of all that processes told the log.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        nodes: int | Iterable[str] = 3,
        workers: int = 1,
        config: ClusterConfig | None = None,
        configs: dict[str, ClusterConfig] | None = None,
        faults: Faults | None = None,
        app: Any = None,
    ) -> None:
        self.seed = seed
        self.app: tuple[ChildSpec, ...] = root_specs(app, (), "worker")
        self.scheduling = random.Random(f"{seed} scheduling")
        self.seeds = random.Random(f"{seed} seeds")
        self.random = random.Random(f"{seed} test")
        self.reports: list[tuple[str, Any]] = []
        self.errors: list[BaseException] = []
        self.loop = VirtualLoop(on_stall=self._stalled)
        self.loop.set_exception_handler(self._callback_failed)
        self.network = ClusterNetwork(
            self.loop, random.Random(f"{seed} network"), self._frame, self._message
        )
        if faults is not None:
            self.network.faults = faults
        names = [chr(ord("a") + i) if i < 26 else f"n{i}" for i in range(nodes)] if isinstance(
            nodes, int
        ) else list(nodes)  # fmt: skip
        shared = config or ClusterConfig(strategies=())
        self.nodes = {
            name: SimNode(self, name, (configs or {}).get(name, shared), workers)
            for name in names
        }
        self._bodies: list[Body] = []

    # Time

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.time()

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        done = self.loop.create_future()
        self.loop.call_later(seconds, done.set_result, None)
        self.loop.run_until_complete(done)
        self._raise_errors()

    def until(
        self, condition: Callable[[], Any], seconds: float = 30.0, step: float = 0.05
    ) -> float:
        """Let time pass until *condition* holds; return how much has passed.

        Raises:
            AssertionError: it does not within *seconds*.
        """
        start = self.now
        while not condition():
            if self.now - start >= seconds:
                name = getattr(condition, "__name__", "the condition")
                raise AssertionError(f"{name} does not hold after {seconds} s; {self.where()}")
            self.advance(step)
        return self.now - start

    def run(self, node: str, body: Callable[..., Any], *args: Any, host: str = "w1") -> Any:
        """Run *body* as a process on *node*; return its result or raise what it raised."""
        done = self.loop.create_future()
        running = Body(body, args, lambda: set_done(done))
        try:
            running.start(self.kernel(node, host))
            self.loop.run_until_complete(done)
            self._raise_errors()
            return running.result()
        except BaseException as error:
            error.add_note(self.where())
            raise

    def spawn(self, node: str, body: Callable[..., Any], *args: Any, host: str = "w1") -> Body:
        """Start *body* as a process on *node* and go on; see ``Body.ended`` and ``result``."""
        running = Body(body, args)
        running.start(self.kernel(node, host))
        return running

    def where(self) -> str:
        """Say how to get this run again."""
        return f"seed={self.seed} after {self.now:.6f} virtual seconds"

    # Nodes

    def kernel(self, node: str, host: str = "w1") -> Kernel:
        """Return the kernel of a host."""
        return self.nodes[node].hosts[host].kernel

    def live(self) -> list[SimNode]:
        """Return the nodes that are up."""
        return [node for node in self.nodes.values() if node.up]

    def at_address(self, address: str) -> SimNode | None:
        """Return the node that listens at *address*."""
        return self.nodes.get(address.rpartition(":")[0])

    def start(self, name: str) -> None:
        """Start a node, or start it again, and let it find the others."""
        node = self.nodes[name]
        if not node.up:
            node.boot()
        node.agent.candidates([n.address for n in self.nodes.values()])

    def form(self, seconds: float = 30.0) -> float:
        """Start all nodes, wait until they agree and run the application; return how long."""
        for name in self.nodes:
            self.start(name)
        return self.until(self.formed, seconds)

    def formed(self) -> bool:
        """Whether all nodes that are up agree and have started the application."""
        return self.agreed() and all(self.started(node.name) for node in self.live())

    def started(self, name: str) -> bool:
        """Whether the application of a node has started; True where there is none."""
        kernel = self.nodes[name].hosts["control"].kernel
        root = kernel.names.lookup(ROOT)
        return not self.app or (root in kernel.procs and kernel.procs[root].state == "running")

    def agreed(self) -> bool:
        """Whether all nodes that are up see just each other, and have settled."""
        live = self.live()
        names = tuple(sorted(node.name for node in live))
        return all(n.agent.settled and n.agent.view.names == names for n in live)

    def crash(self, name: str, *, refused: bool = True) -> None:
        """Kill a node: all its processes are gone. *refused*: the machine is still there."""
        node = self.nodes[name]
        if not node.up:
            return
        node.up = False
        node.end_pause()
        for host in node.hosts.values():
            host.up = False
            host.kernel.close()
        node.agent.close()
        for other in self.live():
            if refused and not self.network.is_cut(other.name, name):
                self.loop.call_later(
                    REFUSED_AFTER, other.gate, self._refused, other, other.life, node.address
                )

    def _refused(self, node: SimNode, life: int, address: str) -> None:
        there = self.at_address(address)
        if node.up and node.life == life and there is not None and not there.up:
            node.agent.lost(address, True)

    def pause(self, name: str, seconds: float) -> None:
        """Stop a node for so long, as SIGSTOP does: nothing is handled, nothing is refused."""
        node = self.nodes[name]
        if node.up and not node.paused:
            node.paused = True
            life = node.life

            def go_on() -> None:
                if node.life == life:
                    node.resume()

            self.loop.call_later(seconds, go_on)

    def isolate(self, names: Iterable[str]) -> None:
        """Cut the nodes *names* off from all others."""
        inside = list(names)
        for one in inside:
            for other in self.nodes:
                if other not in inside:
                    self.network.cut(one, other)

    def processes(self, name: str) -> list[Process]:
        """Return all processes of a node."""
        hosts = self.nodes[name].hosts.values()
        return [p for host in hosts if host.up for p in host.kernel.procs.values()]

    def close(self) -> None:
        """End everything."""
        for node in self.live():
            node.agent.close()
            for host in node.hosts.values():
                host.kernel.close()
        self.loop.close()

    def __enter__(self) -> ClusterSimulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The network's and the loop's callbacks

    def _frame(self, source: str, destination: str, frame: bytes) -> None:
        node = self.nodes[destination.partition("/")[0]]
        node.gate(self._take_frame, node, destination, frame)

    def _take_frame(self, node: SimNode, destination: str, frame: bytes) -> None:
        host = node.hosts.get(destination.partition("/")[2])
        if node.up and host is not None and host.up:
            host.kernel.remote.on_frame(frame)

    def _message(self, source: str, destination: str, payload: bytes) -> None:
        node = self.nodes[destination]
        node.gate(self._take_message, node, self.nodes[source].address, payload)

    def _take_message(self, node: SimNode, sender: str, payload: bytes) -> None:
        if node.up and sender not in node.wire.muted:
            node.agent.receive(sender, payload)

    def _stalled(self) -> None:
        kernels = [host.kernel for node in self.live() for host in node.hosts.values()]
        raise Deadlock("deadlock; processes that wait:\n  " + "\n  ".join(parked(kernels)))

    def _callback_failed(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error or RuntimeError(context.get("message", "?")))

    def _raise_errors(self) -> None:
        if self.errors:
            error = self.errors.pop(0)
            error.add_note(self.where())
            raise error


__all__ = ["ClusterSimulation", "Faults", "SimNode"]
