"""A chat over two nodes: messages by topics, and who is present by a tracker.

Both nodes run in this program, to have it all in one place; usually each has its own.

    python examples/cluster_chat.py
"""

import tempfile
import time
from contextlib import ExitStack

import foundation
from foundation.cluster import ClusterConfig, await_cluster, node
from foundation.cluster.discovery import Loopback
from foundation.cluster.pubsub import PresenceDiff, Tracker, broadcast, subscribe
from foundation.otp import DynamicSupervisor, GenServer, receive

ROOM = "room:lobby"


class User(GenServer):
    """One user's connection: hears what is said, and is present until it ends."""

    async def init(self, name):
        self.name = name
        self.heard = []
        await subscribe(ROOM)
        await Tracker.track(ROOM, name, {"node": node()})

    def handle_call(self, request, caller):
        match request:
            case ("say", text):
                return broadcast(ROOM, f"{self.name}: {text}")
            case "heard":
                return self.heard
        return super().handle_call(request, caller)

    def handle_info(self, message):  # what others broadcast
        self.heard.append(message)


APP = [DynamicSupervisor.spec(name="users")]


async def enter(name):
    await DynamicSupervisor.start_child("users", User.spec(name, name=name, restart="temporary"))


async def present():
    return [f"{user} on {meta.value['node']}" for user, [meta] in Tracker.list(ROOM).items()]


async def gone(name):
    """Wait until nobody of that name is present, on this node's copy."""
    Tracker.subscribe(ROOM)  # from now on this process is told of each change
    while name in Tracker.list(ROOM):
        await receive(lambda message: isinstance(message, PresenceDiff), timeout=30)


def main():
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        config = ClusterConfig(name="chat", strategies=(Loopback(directory),))
        a = stack.enter_context(foundation.start(APP, name="a", cluster=config))
        b = stack.enter_context(foundation.start(APP, name="b", cluster=config))
        a.run(await_cluster, 2)
        a.run(enter, "ann")
        b.run(enter, "bob")
        print(a.run(present))  # ['ann on a', 'bob on b']

        b.call("bob", ("say", "hello"))
        b.call("bob", ("say", "anybody here?"))
        while len(a.call("ann", "heard")) < 2:
            time.sleep(0.01)
        print(a.call("ann", "heard"))  # ['bob: hello', 'bob: anybody here?']

        b.stop("bob")  # or his node is stopped, killed or cut off
        a.run(gone, "bob")
        print(a.run(present))  # ['ann on a'], as presence ends with the process


if __name__ == "__main__":
    main()
