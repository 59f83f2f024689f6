"""Two nodes: a server on one is called from the other, by node and by a name of the whole cluster.

Both nodes run in this program, to have it all in one place; usually each has its own.

    python examples/cluster_names.py
"""

import asyncio
import tempfile
from contextlib import ExitStack

import foundation
from foundation.cluster import ClusterConfig, NodeDown, await_cluster, node, subscribe
from foundation.cluster.discovery import Loopback
from foundation.cluster.registry import DistributedRegistry
from foundation.otp import GenServer, NoProc, call, receive

GREETER = DistributedRegistry.via("names", "greeter")


class Greeter(GenServer):
    def handle_call(self, request, caller):
        return f"hello {request}, from node {node()}"


NAMES = DistributedRegistry.spec(name="names")  # each node lists it, before its servers
APP_A = [
    NAMES,
    Greeter.spec(name="desk"),  # known on its node
    Greeter.spec(name=GREETER, id="greeter"),  # known in the whole cluster
]


async def greet():
    """Runs as a process of node b."""
    print(await call(("desk", "a"), "Ann"))  # hello Ann, from node a
    print(await call(GREETER, "Bob"))  # hello Bob, from node a: wherever it is


async def watch(stop_a):
    """Runs as a process of node b, and is told when nodes come and go."""
    subscribe()
    await asyncio.to_thread(stop_a)
    down = await receive(lambda message: isinstance(message, NodeDown), timeout=30)
    print(down.node, "is down:", down.reason)
    try:
        await call(GREETER, "Cid")
    except NoProc:
        print("nobody has the name any more")


def main():
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        config = ClusterConfig(name="names", strategies=(Loopback(directory),))
        b = stack.enter_context(foundation.start([NAMES], name="b", cluster=config))
        a = foundation.start(APP_A, name="a", cluster=config)
        stack.callback(a.close)  # does nothing when it is closed already
        a.open()
        print(*b.run(await_cluster, 2).names)  # a b
        b.wait_for(("desk", "a"))  # names follow a moment later
        b.wait_for(GREETER)
        b.run(greet)
        b.run(watch, a.close)


if __name__ == "__main__":
    main()
