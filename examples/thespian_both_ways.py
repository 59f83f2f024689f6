"""Direct Thespian messaging: an actor as a supervised child, a program that asks a server.

    python examples/thespian_both_ways.py
"""

from thespian.actors import Actor

import foundation
from foundation.otp import GenServer, Supervisor, ThespianActor, call
from foundation.runtime.messages import Envelope


class Shouter(Actor):
    """A plain Thespian actor; it knows nothing of Foundation."""

    def receiveMessage(self, message, sender):
        if isinstance(message, str):
            self.send(sender, message.upper())


class Greeter(GenServer):
    async def handle_call(self, request, caller):
        return await call("shouter", f"hello {request}")  # passed on to the actor


class App(Supervisor):
    def init(self):
        return [ThespianActor.spec(Shouter, name="shouter"), Greeter.spec(name="greeter")]


if __name__ == "__main__":
    with foundation.start(App, hosts=1) as node:
        print(node.call("greeter", "world"))  # server -> actor: HELLO WORLD
        system = node.actor_system  # an ordinary thespian.actors.ActorSystem
        answer = system.ask(node.actor_address("greeter"), Envelope("greeter", "thespian"), 5)
        print(answer.ok, answer.value)  # program -> server: True HELLO THESPIAN
