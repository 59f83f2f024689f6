"""A CPU-bound server in an operating-system process of its own: `isolation="host"`.

While it computes, its neighbours answer at once; killing it (kill -9) restarts it only.

    python examples/cpu_bound.py
"""

import os
import signal

import foundation
from foundation.otp import GenServer, Supervisor


class Primes(GenServer):
    def handle_call(self, request, caller):
        if request == "os pid":
            return os.getpid()
        return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, request))


class Clerk(GenServer):
    def handle_call(self, request, caller):
        return f"{request}: still here"


class App(Supervisor):
    def init(self):
        return [Primes.spec(name="primes", isolation="host"), Clerk.spec(name="clerk")]


async def both():
    import asyncio

    from foundation.otp import call

    slow = asyncio.create_task(call("primes", 60_000, timeout=60))
    answers = 0
    while not slow.done():
        await call("clerk", "hello")
        answers += 1
    return await slow, answers


if __name__ == "__main__":
    with foundation.start(App, hosts=1) as node:
        primes, answers = node.run(both)
        print(f"{primes} primes; meanwhile the clerk answered: {answers > 10}")
        first = node.call("primes", "os pid")
        os.kill(first, signal.SIGKILL)
        node.wait_for("primes")
        second = node.call("primes", "os pid")
        print("restarted in another process:", first != second)
