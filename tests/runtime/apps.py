"""Servers and actors for the runtime tests; importable in every host."""

from __future__ import annotations

import os
import time
from typing import Any

from thespian.actors import Actor

from foundation.kernel.ops import call, cast, send, trap_exit
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.gen_server import GenServer
from foundation.otp.results import NoReply, Stop
from foundation.otp.supervisor import Supervisor
from foundation.runtime import bridge


class Where(GenServer):
    """Says in which operating-system process it runs."""

    def init(self, value: Any = None) -> None:
        self.value = value

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case "pid":
                return os.getpid()
            case "value":
                return self.value
            case ("set", value):
                self.value = value
                return "ok"
            case "crash":
                raise ValueError("asked to crash")
            case "hang":
                return NoReply()
            case ("hog", seconds):
                time.sleep(seconds)
                return "done"
            case "stop":
                return Stop("normal", reply="bye")
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        self.value = request

    def handle_info(self, message: Any) -> None:
        self.value = message


class Home(Supervisor):
    def init(self) -> Any:
        return [Where.spec(1, name="one"), Where.spec(2, name="two")]


class Spread(Supervisor):
    """A dynamic supervisor whose children are dealt out over the worker hosts."""

    def init(self, count: int = 0) -> Any:
        return [
            DynamicSupervisor.spec(name="dynamic"),
            *[Where.spec(n, name=f"s{n}", host="spread") for n in range(count)],
        ]


class Dedicated(Supervisor):
    def init(self) -> Any:
        return [Where.spec("own", name="own", isolation="host")]


class Stopper(GenServer):
    """Writes to a file when it is stopped in order."""

    def init(self, path: str, label: str) -> None:
        trap_exit()
        self.path, self.label = path, label

    def terminate(self, reason: Any) -> None:
        with open(self.path, "a") as file:
            file.write(f"{self.label} {reason}\n")


class Ordered(Supervisor):
    def init(self, path: str) -> Any:
        return [
            Stopper.spec(path, "first", id=1),
            Stopper.spec(path, "second", id=2),
            Where.spec(name="ready"),
        ]


class Echo(Actor):  # type: ignore[misc]
    """A plain Thespian actor: answers; can be made to die; can ask a server."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        from foundation.runtime.messages import Answer, Envelope

        if message == "die":
            os._exit(1)
        elif isinstance(message, tuple) and message[0] == "via":
            self.asker = sender
            self.send(message[1], Envelope("one", "value"))
        elif isinstance(message, Answer):
            self.send(self.asker, ("answer", message.ok, message.value))
        elif isinstance(message, (str, int)):
            self.send(sender, ("echo", message))


class EchoTree(Supervisor):
    def init(self) -> Any:
        from foundation.otp.thespian_actor import ThespianActor

        return [ThespianActor.spec(Echo, name="echo")]


class Asker(GenServer):
    """A server that talks to a plain actor."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        address, message = request
        return await bridge.ask(address, message)


class ReturnsLambda(GenServer):
    def init(self) -> None:
        """Nothing to keep."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return lambda: 1


class Lambda(Supervisor):
    def init(self) -> Any:
        return [ReturnsLambda.spec(name="lambda")]


class GivesUp(Supervisor):
    max_restarts = 0

    def init(self) -> Any:
        return [Where.spec(name="fragile")]


__all__ = ["call", "cast", "send"]
