"""A test with virtual time: two hours pass in milliseconds.

    pytest examples/test_virtual_time.py
"""

import asyncio

from foundation.otp import TIMEOUT, Down, GenServer, Ok, Reply, Stop, call, monitor, receive
from foundation.testing import simulate

HOUR = 3600.0


class Session(GenServer):
    """Ends after an hour of silence."""

    def init(self):
        return Ok(timeout=HOUR)

    def handle_call(self, request, caller):
        return Reply("pong", timeout=HOUR)

    def handle_info(self, message):
        if message == TIMEOUT:
            return Stop("normal")
        return Ok(timeout=HOUR)


async def idle_session():
    """Runs as a process, in the simulator."""
    session = await Session.start_link()
    ref = monitor(session)
    for _ in range(2):
        await asyncio.sleep(0.9 * HOUR)
        assert await call(session, "ping") == "pong"  # the silence begins anew

    before = asyncio.get_running_loop().time()
    assert await receive() == Down(ref, session, "normal")
    assert asyncio.get_running_loop().time() - before == HOUR


def test_a_session_ends_after_an_hour_of_silence():
    simulate(idle_session)
