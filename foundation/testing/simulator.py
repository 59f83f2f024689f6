"""The deterministic simulator: hosts, scheduling, network and crashes from one seed.

Everything runs in one thread on virtual time. Whatever could happen in several orders is drawn
from the seed: which ready process goes next, how long slices are, how long frames and starts
take, what crashes when. So one seed is one run, and a failing seed fails again.

Invariants:
    M1  Nothing but the seed and the arguments decides what happens.
    M2  Messages of one process to another keep their order, whatever the delays (K2).

Example::

    from foundation.testing import Simulation, simulate

    def test_the_session_expires_after_an_hour():
        async def body():
            session = await Session.start_link()
            await asyncio.sleep(3600)              # takes no real time
            assert await call(session, "state") == "expired"

        simulate(body, seed=1)
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from foundation.kernel.kernel import Kernel
from foundation.kernel.process import FunctionProcess, Process
from foundation.kernel.values import Pid
from foundation.otp.kernel_setup import install
from foundation.runtime.driver import AsyncioDriver
from foundation.runtime.placement import HostPlacer
from foundation.testing.bodies import Body, leftovers, parked, set_done
from foundation.testing.network import Delay, Network, check_delay, draw
from foundation.testing.virtual_loop import Deadlock, VirtualLoop

TraceLine = tuple[float, str, str, Any]
_SETTLE_STEP = 0.05


class SimKernel(Kernel):
    """A kernel whose processes start late, when the simulation says so."""

    start_delay: Callable[[], float] = staticmethod(lambda: 0.0)

    def ready(self, process: Process) -> None:
        """Put *process* into the run queue; a new one after its start delay."""
        if process.state == "starting" and not process.get_extra("delayed"):
            delay = self.start_delay()
            if delay > 0:
                process.set_extra("delayed", True)
                process.queued = True  # so that no message puts it there earlier
                self.driver.call_later(delay, lambda: super(SimKernel, self).ready(process))
                return
        super().ready(process)


class SimHost:
    """One host of a simulation.

    Attributes:
        address: ``"sim/main"``, ``"sim/w1"`` …
        kernel: the kernel of its present life.
        up: False after ``crash_host``.
    """

    def __init__(self, simulation: Simulation, address: str) -> None:
        self._simulation = simulation
        self.replaces_workers = False  # a crashed host is down until the test restarts it
        self.address = address
        self.incarnation = 0
        self.up = False
        self.kernel: Kernel
        self.boot()

    def boot(self) -> None:
        """Start a new life."""
        simulation = self._simulation
        address, rng = self.address, simulation.scheduling
        self.incarnation += 1
        self.up = True
        kernel = SimKernel(
            address,
            AsyncioDriver(
                simulation.loop,
                send_frame=lambda peer, frame: simulation.network.send(address, peer, frame),
                report=lambda report: simulation.reports.append(report),
                wall=simulation.loop.time,
            ),
            incarnation=self.incarnation,
            # Long slices hide interleavings, short ones hide what happens within one slice.
            budget=rng.choice((1, 3, 200)),
            max_slices=rng.choice((1, 5, 100)),
            max_hand_overs=rng.choice((0, 1, 50)),
            pick=lambda ready: simulation.pick(self, ready),
        )
        kernel.start_delay = simulation.draw_start_delay
        kernel.placer = HostPlacer(cast(Any, self))
        install(kernel)
        self.kernel = kernel

    @property
    def in_service(self) -> dict[str, Any]:
        """The other hosts that processes may be sent to."""
        return dict(self.kernel.remote.neighbours)

    async def open_dedicated(self, label: str) -> str:
        """Start a host for one process alone (``isolation="host"``)."""
        return self._simulation.add_host().address


class Simulation:
    """One or more hosts under virtual time; see the module docstring.

    Args:
        seed: decides everything that could happen in several ways.
        hosts: how many; the first is ``sim/main``, where bodies run and names are decided, the
            others ``sim/w1``, ``sim/w2`` … are worker hosts.
        delay: seconds that a frame between hosts takes, or a range; see also ``network``.
        start_delay: seconds between the start of a process and its first step, or a range.
        in_order: True runs ready processes first come, first served, and slices as in
            production, instead of drawing both from the seed.
        trace_size: how many lines ``trace`` keeps.

    Attributes:
        reports: what processes told the log: ``CrashReport``, ``Notice`` …
        trace: the latest events as ``(time, host, what, detail)``.
        network: delays, partitions and faults of links.
        random: a generator of the test's own, from the same seed.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        hosts: int = 1,
        delay: Delay = 0.0,
        start_delay: Delay = 0.0,
        in_order: bool = False,
        trace_size: int = 100_000,
    ) -> None:
        if hosts < 1:
            raise ValueError(f"hosts must be 1 or more, got {hosts!r}")
        self.seed = seed
        # A stream each: more crashes must not change the delays, and so on.
        self.scheduling = random.Random(f"{seed} scheduling")
        self.random = random.Random(f"{seed} test")
        self._starts = random.Random(f"{seed} starts")
        self._faults = random.Random(f"{seed} faults")
        self._start_delay = check_delay(start_delay, "start_delay")
        self._in_order = in_order
        self._crashes_per_slice = 0.0
        self._victims: Callable[[Process], bool] = lambda process: True
        self._bodies: list[Body] = []
        self.errors: list[BaseException] = []
        self.reports: list[Any] = []
        self.trace: deque[TraceLine] = deque(maxlen=trace_size)
        check_delay(delay, "delay")  # before there is a loop to be closed
        self.loop = VirtualLoop(on_stall=self._stalled)
        self.loop.set_exception_handler(self._callback_failed)
        self.network = Network(
            self.loop,
            random.Random(f"{seed} network"),
            delay,
            self._arrive,
            self._lost,
            self._join,
        )
        self.hosts: dict[str, SimHost] = {}
        for _ in range(hosts):
            self.add_host()

    # Running

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.time()

    @property
    def main(self) -> SimHost:
        """The first host."""
        return next(iter(self.hosts.values()))

    def run(self, body: Callable[..., Any], *args: Any, host: str = "main") -> Any:
        """Run *body* as a process until it ends; return its result or raise what it raised.

        Other processes may be left; ``advance`` and further ``run`` let them go on.

        Args:
            body: ``def`` or ``async def``.
            *args: its arguments.
            host: where.

        Raises:
            Deadlock: the body waits for something that can never come.
            BodyExited: an exit signal ended the body's process.
        """
        done = self.loop.create_future()
        running = Body(body, args, lambda: set_done(done))
        self._bodies.append(running)
        try:
            running.start(self.host(host).kernel)
            self.loop.run_until_complete(done)
            self._raise_errors()
            return running.result()
        except BaseException as error:
            error.add_note(self.reproduce())
            raise
        finally:
            self._bodies.remove(running)
            if not running.ended and running.pid is not None:
                self.kill(running.pid)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        done = self.loop.create_future()
        self.loop.call_later(seconds, done.set_result, None)
        self.loop.run_until_complete(done)
        self._raise_errors()

    def at(self, when: float, action: Callable[..., Any], *args: Any) -> None:
        """Call ``action(*args)`` at the time *when*, between the steps of processes."""
        self.loop.call_at(when, action, *args)

    def settle(self, seconds: float = 60.0) -> list[str]:
        """Wait up to *seconds* for all processes to end; describe what is left then."""
        deadline = self.now + seconds
        while left := self.leftovers():
            if self.now >= deadline:
                return left
            self.advance(_SETTLE_STEP)
        return []

    def leftovers(self) -> list[str]:
        """Describe processes, names and timers that are left."""
        return [line for host in self.live_hosts() for line in leftovers(host.kernel)]

    def reproduce(self) -> str:
        """Say how to get this run again."""
        return (
            f"seed={self.seed} after {self.now:.6f} virtual seconds; the same again with "
            f"Simulation(seed={self.seed}, ...) or pytest --foundation-seed={self.seed}"
        )

    def close(self) -> None:
        """End everything; no code of a process runs any more."""
        for host in self.live_hosts():
            host.kernel.close()
        self.loop.close()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Hosts and faults

    def host(self, name: str) -> SimHost:
        """Return a host by name (``"w1"``) or address."""
        address = name if "/" in name else f"sim/{name}"
        if address not in self.hosts:
            raise KeyError(f"there is no host {name!r}; hosts are {', '.join(self.hosts)}")
        return self.hosts[address]

    def live_hosts(self) -> list[SimHost]:
        """Return the hosts that are up."""
        return [host for host in self.hosts.values() if host.up]

    def add_host(self) -> SimHost:
        """Start another host."""
        address = f"sim/w{len(self.hosts)}" if self.hosts else "sim/main"
        host = self.hosts[address] = SimHost(self, address)
        self._introduce(host)
        return host

    def kill(self, pid: Pid, reason: Any = "kill") -> None:
        """Send the exit signal *reason* to a process, as from outside."""
        kernel = self.host(pid.host).kernel
        self._note(pid.host, "kill", (pid, reason))
        kernel.signals.signal(kernel.outside, pid, reason)

    def crash_host(self, name: str, *, notice: Delay = 0.0) -> None:
        """Let a host vanish with all its processes, as by ``kill -9``.

        Args:
            name: of the host; not the first one, which is the test itself.
            notice: seconds until the other hosts notice.
        """
        host = self.host(name)
        if host is self.main:
            raise ValueError("the first host runs the test; only other hosts can crash")
        if not host.up:
            return
        host.up = False
        address, incarnation = host.address, host.incarnation
        self._note(address, "crash", incarnation)
        host.kernel.close()
        for other in self.live_hosts():
            self.network.drop(address, other.address)
            self.network.drop(other.address, address)
            delay = draw(self._faults, notice)
            self.loop.call_later(delay, self._tell_crash, other, address, incarnation)

    def restart_host(self, name: str) -> SimHost:
        """Start a crashed host again: empty, with a new incarnation."""
        host = self.host(name)
        if not host.up:
            host.boot()
            self._introduce(host)
        return host

    def crash_randomly(
        self,
        *,
        per_slice: float = 0.0,
        per_second: float = 0.0,
        until: float | None = None,
        victims: Callable[[Process], bool] | None = None,
    ) -> None:
        """Kill processes at random from now on; never the body of ``run``.

        Args:
            per_slice: probability of one kill for each slice that a process runs.
            per_second: mean number of kills in a virtual second.
            until: when the latter ends; by default in 60 seconds.
            victims: says which processes may be killed; None is all.
        """
        self._crashes_per_slice = per_slice
        if victims is not None:
            self._victims = victims
        if per_second:
            self._crash_later(per_second, self.now + 60 if until is None else until)

    def _crash_later(self, per_second: float, until: float) -> None:
        when = self.now + self._faults.expovariate(per_second)
        if when < until:
            self.at(when, self._crash_and_again, per_second, until)

    def _crash_and_again(self, per_second: float, until: float) -> None:
        self._crash_one()
        self._crash_later(per_second, until)

    def _crash_one(self) -> None:
        bodies = [body.pid for body in self._bodies]
        candidates = [
            process.pid
            for host in self.live_hosts()
            for process in host.kernel.procs.values()
            if process.pid not in bodies and self._victims(process)
        ]
        if candidates:
            self.kill(self._faults.choice(candidates))

    # What kernels and network call

    def pick(self, host: SimHost, ready: deque[Process]) -> int:
        """Choose which of the *ready* processes of *host* goes next."""
        index = 0 if self._in_order else self.scheduling.randrange(len(ready))
        self._note(host.address, "run", ready[index].pid.serial)
        if self._crashes_per_slice and self._faults.random() < self._crashes_per_slice:
            self.loop.call_soon(self._crash_one)  # not now: a slice is about to run
        return index

    def draw_start_delay(self) -> float:
        """Return how long the next process takes to start."""
        return draw(self._starts, self._start_delay)

    def _arrive(self, source: str, destination: str, frame: bytes) -> None:
        host = self.hosts[destination]
        if host.up:
            self._note(destination, "frame", (source, len(frame)))
            host.kernel.remote.on_frame(frame)

    def _introduce(self, host: SimHost) -> None:
        if host is not self.main:
            host.kernel.names.authority = self.main.address
        for other in self.live_hosts():
            if other is not host:
                self._join(host.address, other.address)

    def _join(self, one: str, other: str) -> None:
        for address, peer in ((one, self.hosts[other]), (other, self.hosts[one])):
            if self.hosts[address].up and peer.up and self.network.reachable(one, other):
                self.hosts[address].kernel.remote.host_up(peer.address, peer.incarnation)

    def _lost(self, host: str, peer: str) -> None:
        self._note(host, "lost", peer)
        if self.hosts[host].up:
            self.hosts[host].kernel.remote.host_down(peer, "noconnection")

    def _tell_crash(self, host: SimHost, address: str, incarnation: int) -> None:
        peer = host.kernel.remote.peers.get(address)
        if host.up and peer is not None and peer.incarnation == incarnation:
            host.kernel.remote.host_down(address, "killed")

    def _note(self, host: str, what: str, detail: Any) -> None:
        self.trace.append((self.loop.time(), host, what, detail))

    # Failures

    def _stalled(self) -> None:
        lines = parked(host.kernel for host in self.live_hosts())
        raise Deadlock(
            "deadlock: nothing is ready to run and no timer is pending, but the body has not "
            "ended. Processes that wait:\n  " + ("\n  ".join(lines) or "(none)")
        )

    def _callback_failed(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error or RuntimeError(context.get("message", "?")))

    def _raise_errors(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


def simulate(body: Callable[..., Any], *args: Any, seed: int = 0, **options: Any) -> Any:
    """Run *body* as a process in a simulation of its own; return its result.

    Args:
        body: ``def`` or ``async def``.
        *args: its arguments.
        seed: see ``Simulation``, as for **options.
    """
    with Simulation(seed, **options) as simulation:
        return simulation.run(body, *args)


__all__ = ["FunctionProcess", "SimHost", "SimKernel", "Simulation", "simulate"]
