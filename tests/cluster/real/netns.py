"""One network namespace per node, all joined by a bridge in a namespace of its own.

Nothing of the machine's own network is touched: each namespace belongs to a process that sleeps,
and vanishes with it and with those that were started in it. The holders end when this process
does, even by SIGKILL: their standard input is a pipe of ours.

    node a: eth0 10.77.x.1 ── p1 ─┐
    node b: eth0 10.77.x.2 ── p2 ─┼─ bridge (in the namespace of the switch)
    node c: eth0 10.77.x.3 ── p3 ─┘

Faults:
    ``unplug``     the port leaves the bridge: carrier stays, frames vanish, nobody is told
    ``carrier``    the port goes down: the node's interface loses its carrier
    ``misdirect``  frames of one node to another carry a wrong hardware address: one way only
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from foundation.cluster.discovery import StaticList
from tests.cluster.real.kit import RealCluster, RealNode

PORT = 7001  # of each node; they have their own addresses
WRONG = "02:00:00:00:de:ad"
SUBNET = f"10.77.{os.getpid() % 250 + 1}"


class Namespace:
    """A network namespace, held by a process."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self._wait()
        self.ip("link", "set", "lo", "up")

    def _wait(self) -> None:
        ours = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{self.pid}/ns/net") != ours and self._runs("cat"):
                    return
            if self._holder.poll() is not None:
                break
            time.sleep(0.005)
        raise OSError("no network namespace could be made")

    def _runs(self, command: str) -> bool:
        return Path(f"/proc/{self.pid}/comm").read_text().strip() == command

    @property
    def pid(self) -> int:
        """Of its holder."""
        return self._holder.pid

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command line begins with, to run in it."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def ip(self, *args: str) -> str:
        """Run the command ``ip`` in it.

        Raises:
            OSError: it failed.
        """
        done = subprocess.run([*self.inside, "ip", *args], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"ip {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """Let it go."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(5)


class Lan:
    """A switch and the nodes at it."""

    def __init__(self, names: str) -> None:
        self._made: list[Namespace] = []
        self.nodes: dict[str, Namespace] = {}
        self.names = names
        try:
            self._switch = self._namespace()
            self._switch.ip("link", "add", "bridge", "type", "bridge")
            self._switch.ip("link", "set", "bridge", "up")
            for name in names:
                self.nodes[name] = self._plug_in(name)
        except BaseException:
            self.close()
            raise

    def _namespace(self) -> Namespace:
        made = Namespace()
        self._made.append(made)
        return made

    def _plug_in(self, name: str) -> Namespace:
        node, port = self._namespace(), f"p{name}"
        self._switch.ip(
            "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(node.pid)
        )
        self._switch.ip("link", "set", port, "master", "bridge", "up")
        node.ip("addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        node.ip("link", "set", "eth0", "up")
        return node

    def address(self, name: str) -> str:
        """Return the address of a node."""
        return f"{SUBNET}.{self.names.index(name) + 1}"

    def unplug(self, *names: str) -> float:
        """Cut nodes off, silently; return when."""
        now = time.monotonic()
        for name in names:
            self._switch.ip("link", "set", f"p{name}", "nomaster")
        return now

    def plug(self, *names: str) -> float:
        """Undo ``unplug``; return when."""
        for name in names:
            self._switch.ip("link", "set", f"p{name}", "master", "bridge")
        return time.monotonic()

    def carrier(self, name: str, up: bool) -> float:
        """Take the carrier of a node's interface away, or give it back; return when."""
        now = time.monotonic()
        self._switch.ip("link", "set", f"p{name}", "up" if up else "down")
        return now

    def misdirect(self, sender: str, receiver: str) -> float:
        """Lose what *sender* sends to *receiver*; return when."""
        now = time.monotonic()
        to = self.address(receiver)
        self.nodes[sender].ip(
            "neigh", "replace", to, "lladdr", WRONG, "dev", "eth0", "nud", "permanent"
        )
        return now

    def direct(self, sender: str, receiver: str) -> float:
        """Undo ``misdirect``; return when."""
        self.nodes[sender].ip("neigh", "del", self.address(receiver), "dev", "eth0")
        return time.monotonic()

    def split(self, one: str, other: str) -> float:
        """Lose everything between the nodes *one* and the nodes *other*; return when."""
        now = time.monotonic()
        for a in one:
            for b in other:
                self.misdirect(a, b)
                self.misdirect(b, a)
        return now

    def heal(self, one: str, other: str) -> float:
        """Undo ``split``; return when."""
        for a in one:
            for b in other:
                self.direct(a, b)
                self.direct(b, a)
        return time.monotonic()

    def close(self) -> None:
        """Remove all; idempotent."""
        while self._made:
            self._made.pop().close()


@functools.cache
def why_not() -> str | None:
    """Return why there can be no namespaces here; None when there can."""
    try:
        Lan("ab").close()
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces are not to be had here: {error}"
    return None


def lan_or_skip(names: str) -> Lan:
    """Return a `Lan`; skip the test where it cannot be made."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return Lan(names)


def options_in(lan: Lan, name: str) -> dict[str, Any]:
    """Return what ``RealCluster.begin`` needs for a node there."""
    known = StaticList([lan.address(each) for each in lan.names], port=PORT)
    return {
        "bind": lan.address(name),
        "port": PORT,
        "strategies": (known,),
        "inside": lan.nodes[name].inside,
    }


def formed_in(
    cluster: RealCluster, lan: Lan, app: str = "counter", **config: Any
) -> list[RealNode]:
    """Start a node in each namespace, which find each other by a list of addresses."""
    began = time.monotonic()
    nodes = [cluster.begin(name, app=app, **options_in(lan, name), **config) for name in lan.names]
    for node in nodes:
        node.ready()
    cluster.agreed(lan.names)
    print(f"formed in namespaces in {time.monotonic() - began:.2f} s")
    for node in nodes:
        node.record()
    return nodes
