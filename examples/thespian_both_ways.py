"""Direct Thespian messaging: an actor as a supervised child, a program that asks a server.

    python examples/thespian_both_ways.py
"""

from thespian.actors import Actor

import foundation
from foundation.otp import GenServer, Supervisor, call
from foundation.otp.thespian_actor import ThespianActor
from foundation.runtime.messages import Envelope


class Shouter(Actor):
    """A plain Thespian actor; it knows nothing of Foundation."""

    def receiveMessage(self, message, sender):
        if isinstance(message, str):
            self.send(sender, message.upper())


class Greeter(GenServer):
    """Calls the actor as it would call any server."""

    async def handle_call(self, request, caller):
        return await call("shouter", f"hello {request}")


class App(Supervisor):
    def init(self):
        return [
            ThespianActor.spec(Shouter, name="shouter"),
            Greeter.spec(name="greeter"),
            Greeter.spec(name="own", id="own", isolation="host"),
        ]


def main():
    with foundation.start(App, hosts=1) as node:
        # A server calls an actor.
        print(node.call("greeter", "world"))  # HELLO WORLD

        # A Thespian program asks a server, by an Envelope to the actor that hosts it ...
        system = node.actor_system  # an ordinary thespian.actors.ActorSystem
        host = node.actor_address("greeter")  # an ordinary ActorAddress
        answer = system.ask(host, Envelope("greeter", "thespian"), 5)
        print(answer.ok, answer.value)  # True HELLO THESPIAN

        # ... or by any message to the address of a server that has a host of its own.
        print(system.ask(node.actor_address("own"), "plain message", 5))  # HELLO PLAIN MESSAGE


if __name__ == "__main__":
    main()
