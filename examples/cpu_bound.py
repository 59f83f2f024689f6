"""A CPU-bound server in an operating-system process of its own: `isolation="host"`.

While it computes, its neighbours answer at once; kill -9 of its process restarts it alone.

    python examples/cpu_bound.py
"""

import asyncio
import os
import signal

import foundation
from foundation.otp import GenServer, Supervisor, call


class Primes(GenServer):
    def handle_call(self, request, caller):
        match request:
            case "os pid":
                return os.getpid()
            case ("below", limit):
                return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


class Clerk(GenServer):
    def handle_call(self, request, caller):
        return f"good morning, {request}"


class App(Supervisor):
    def init(self):
        return [Primes.spec(name="primes", isolation="host"), Clerk.spec(name="clerk")]


async def both():
    """Ask the clerk again and again while the primes are being counted."""
    counting = asyncio.create_task(call("primes", ("below", 60_000), timeout=60))
    greetings = 0
    while not counting.done():
        await call("clerk", "ann")
        greetings += 1
    return await counting, greetings


def main():
    with foundation.start(App, hosts=1, hog_seconds=30) as node:
        primes, greetings = node.run(both)
        print(f"{primes} primes; the clerk answered meanwhile: {greetings > 10}")
        first = node.call("primes", "os pid")
        os.kill(first, signal.SIGKILL)
        node.wait_for("primes")
        second = node.call("primes", "os pid")
        print(f"killed, and restarted in another process: {first != second}")


if __name__ == "__main__":
    main()
