"""Laws of the kernel under random bursts, crashes, delays and faults, over two hosts.

Senders run random programs against servers that echo, log, crash and are killed. Whatever
happens:

    PROC-05/K2  a server handles the messages of one sender in the order sent, none twice, and
                none of a life between two of them is missing
    K2          what a server sent before it died comes before its Down
    K3          each monitor gets exactly one Down; all tell the same reason
    K4          each call ends once: with its own reply, or with a failure
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import CallExit
from foundation.kernel import ops
from foundation.kernel.ops import call, cast, demonitor, me, monitor, receive, send
from foundation.kernel.process import FunctionProcess
from foundation.kernel.starting import start
from foundation.kernel.values import Down
from foundation.otp.gen_server import GenServer
from foundation.testing import Simulation

LOST = ("noproc", "noconnection", "timeout")  # reasons that say nothing about a death


@dataclass
class World:
    """What happened; everything of a simulation runs in this interpreter."""

    handled: dict[tuple[Any, Any], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )  # (server, sender) -> numbers of its messages
    last_before_kill: dict[tuple[Any, Any], int] = field(default_factory=dict)
    inboxes: dict[Any, list[Any]] = field(default_factory=dict)  # sender -> messages
    refs: dict[Any, list[Any]] = field(default_factory=dict)  # sender -> refs still monitored
    calls: list[tuple[Any, int, Any]] = field(default_factory=list)  # (server, number, outcome)


WORLD = World()


class Server(GenServer):
    """Logs what it handles and echoes it."""

    def init(self):
        self.me = me()

    def _log(self, message):
        sender, number = message
        WORLD.handled[self.me, sender].append(number)
        send(sender, ("echo", self.me, number))

    def handle_info(self, message):
        self._log(message)

    def handle_cast(self, message):
        if message == "crash":
            raise ValueError("boom")
        self._log(message)

    async def handle_call(self, message, caller):
        self._log(message)
        if message[1] % 3 == 0:
            await asyncio.sleep(0.3)
        return message


async def sender(program, servers, owner):
    """Run *program*, then collect all that comes."""
    numbers: dict[Any, int] = dict.fromkeys(servers, 0)
    refs = WORLD.refs[me()] = []
    for what, index, argument in program:
        server = servers[index % len(servers)]
        message = (me(), numbers[server])
        if what in ("send", "cast", "call"):
            numbers[server] += 1
        match what:
            case "send":
                send(server, message)
            case "cast":
                cast(server, message)
            case "call":
                await _call(server, message, argument)
            case "crash":
                cast(server, "crash")
            case "kill":
                ops.exit(server, "kill")
                WORLD.last_before_kill.setdefault((server, me()), numbers[server])
            case "monitor":
                refs.append(monitor(server))
            case "demonitor" if refs:
                demonitor(refs.pop(index % len(refs)), flush=True)
            case "sleep":
                await asyncio.sleep(argument)
    send(owner, "ready")
    inbox = WORLD.inboxes[me()] = []
    while True:
        inbox.append(await receive())


async def _call(server, message, timeout):
    try:
        outcome = ("reply", await call(server, message, timeout=timeout))
    except CallExit as error:
        outcome = ("failed", error.reason)
    WORLD.calls.append((server, message, outcome))


async def body(sim, hosts, programs, fault):
    servers = [await Server.start(host=host) for host in hosts]
    senders = []
    for host, program in programs:
        payload = (sender, (program, servers, me()), {})
        senders.append(await start(FunctionProcess, payload, where=host))
    if fault == "kills":
        sim.crash_randomly(
            per_slice=0.02, victims=lambda process: type(process) is not FunctionProcess
        )
    elif fault == "crash":
        sim.at(sim.now + 0.4, lambda: sim.crash_host("w1", notice=(0.0, 0.5)))
    elif fault == "partition":
        pair = ("sim/main", "sim/w1")
        sim.at(sim.now + 0.4, lambda: sim.network.partition(*pair, notice=(0.0, 0.5)))
        sim.at(sim.now + 1.5, lambda: sim.network.heal(*pair))
    await asyncio.sleep(100)  # all programs have ended
    for server in servers:
        if sim.host(server.host).up:
            sim.kill(server)
    await asyncio.sleep(100)  # all Downs have arrived
    return servers, senders


def check(fault):
    """Check the laws on what happened."""
    for (server, who), numbers in WORLD.handled.items():
        if fault == "partition":  # some may be lost, a kill among them
            assert numbers == sorted(set(numbers))
            continue
        assert numbers == list(range(len(numbers)))
        killed = WORLD.last_before_kill.get((server, who))
        assert killed is None or all(number < killed for number in numbers)
    reasons = defaultdict(set)
    for who, inbox in WORLD.inboxes.items():
        downs = [message for message in inbox if isinstance(message, Down)]
        # (A sender that died with its host has an inbox that ends early.)
        if fault != "crash" or who.host == "sim/main":
            assert sorted(down.ref for down in downs) == sorted(WORLD.refs[who])
        for down in downs:
            if down.reason not in LOST:
                # When its host crashes after it, only processes of that host may know why.
                reasons[down.object, who.host].add(down.reason)
        _check_inbox(inbox, fault)
    for server, message, (how, value) in WORLD.calls:
        who = message[0]
        if how == "reply":
            assert value == message
        elif value not in LOST:
            reasons[server, who.host].add(value)
    assert all(len(found) == 1 for found in reasons.values()), reasons


def _check_inbox(inbox, fault):
    gone, echoes = set(), defaultdict(list)
    for message in inbox:
        if isinstance(message, Down):
            gone.add(message.object)
        elif message[0] == "echo":
            _, server, number = message
            assert fault == "partition" or server not in gone
            echoes[server].append(number)
    for numbers in echoes.values():
        assert numbers == sorted(set(numbers))


hosts = st.sampled_from(["main", "w1"])
steps = st.tuples(
    st.sampled_from(
        [*["send"] * 4, *["cast"] * 2, *["call"] * 3, *["monitor"] * 3]
        + ["demonitor", "crash", "kill", "sleep", "sleep"]
    ),
    st.integers(0, 5),
    st.sampled_from([0.05, 0.2, 1.0, 5.0]),
)
programs = st.lists(
    st.tuples(hosts, st.lists(steps, max_size=25)), min_size=1, max_size=3
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    servers=st.lists(hosts, min_size=1, max_size=3),
    programs=programs,
    delay=st.sampled_from([0.0, (0.0, 0.01), (0.0, 1.0)]),
    start_delay=st.sampled_from([0.0, (0.0, 0.1)]),
    fault=st.sampled_from(["none", "none", "kills", "crash", "partition"]),
)
def test_the_laws_hold_whatever_happens(seed, servers, programs, delay, start_delay, fault):
    global WORLD
    WORLD = World()
    with Simulation(seed, hosts=2, delay=delay, start_delay=start_delay) as sim:
        sim.run(body, sim, servers, programs, fault)
        check(fault)
