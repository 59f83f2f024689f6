"""A test with virtual time: an hour passes in milliseconds.

    pytest examples/test_virtual_time.py
"""

from foundation.otp import TIMEOUT, GenServer, NoReply, Stop, call, monitor, receive
from foundation.testing import simulate


class Session(GenServer):
    """Ends after an hour of silence."""

    def init(self):
        return NoReply(timeout=3600.0)

    def handle_call(self, request, caller):
        from foundation.otp import Reply

        return Reply("pong", timeout=3600.0)

    def handle_info(self, message):
        if message == TIMEOUT:
            return Stop("normal")


def test_a_session_ends_after_an_hour_of_silence():
    async def body():
        import asyncio

        session = await Session.start_link()
        ref = monitor(session)
        await asyncio.sleep(3000)
        assert await call(session, "ping") == "pong"
        await asyncio.sleep(3000)
        assert await call(session, "ping") == "pong"  # alive: the silence began anew
        down = await receive(lambda m: getattr(m, "ref", None) == ref, timeout=3601)
        assert down.reason == "normal"

    simulate(body)
