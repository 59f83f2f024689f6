"""An `async def` callback may await any asyncio library: here a TCP server and its client.

    python examples/async_handler.py
"""

import asyncio

import foundation
from foundation.otp import GenServer, Supervisor


class EchoServer(GenServer):
    """Owns a listening socket; its asyncio tasks live in the same loop."""

    async def init(self):
        async def serve(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0)

    def handle_call(self, request, caller):
        return self.server.sockets[0].getsockname()[1]

    def terminate(self, reason):
        self.server.close()


class Fetcher(GenServer):
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
        return [EchoServer.spec(name="echo"), Fetcher.spec(name="fetcher")]


if __name__ == "__main__":
    with foundation.start(App) as node:
        port = node.call("echo", "port")
        print(node.call("fetcher", (port, "hello")))  # HELLO
