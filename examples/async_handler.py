"""An `async def` callback may await any asyncio library: here a TCP server and its client.

    python examples/async_handler.py
"""

import asyncio

import foundation
from foundation.otp import GenServer, Supervisor


async def shout(reader, writer):
    """Answer one line with the same in capitals."""
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


class Shouter(GenServer):
    """Owns a listening socket, which lives in the loop of the server's host."""

    async def init(self):
        self.listener = await asyncio.start_server(shout, "127.0.0.1", 0)

    def handle_call(self, request, caller):
        return self.listener.sockets[0].getsockname()[1]

    def terminate(self, reason):
        self.listener.close()


class Client(GenServer):
    """While it awaits the network its own messages wait, but nobody else's."""

    async def handle_call(self, request, caller):
        port, line = request
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(line.encode() + b"\n")
            reply = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return reply.decode().strip()


class App(Supervisor):
    def init(self):
        return [Shouter.spec(name="shouter"), Client.spec(name="client")]


def main():
    with foundation.start(App) as node:
        port = node.call("shouter", "port")
        print(node.call("client", (port, "hello")))  # HELLO


if __name__ == "__main__":
    main()
