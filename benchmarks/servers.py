"""The servers that are measured. At module level, so that worker hosts can import them."""

from __future__ import annotations

from typing import Any

from foundation.otp import DynamicSupervisor, GenServer, Supervisor, call


class Counter(GenServer):
    """Counts what it gets."""

    def init(self, start: int = 0) -> None:
        """Start at *start*."""
        self.count = start

    def handle_call(self, request: Any, caller: Any) -> int:
        """Count a call."""
        self.count += 1
        return self.count

    def handle_cast(self, request: Any) -> None:
        """Count a cast."""
        self.count += 1


class Crasher(Counter):
    """Crashes when it gets a cast."""

    def handle_cast(self, request: Any) -> None:
        """Crash."""
        raise RuntimeError("a crash for the benchmark")


class Relay(GenServer):
    """Answers by asking a second server."""

    async def init(self) -> None:
        """Start the second server."""
        self.second = await Counter.start_link()

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Pass the call on."""
        return await call(self.second, request)


class Crowd(DynamicSupervisor):
    """Many children, all of which may crash at once."""

    max_restarts = 1_000_000


class Patient(Supervisor):
    """Restarts its child as often as it takes."""

    max_restarts = 1_000_000

    def init(self) -> list[Any]:
        """One named child."""
        return [Crasher.spec(name="crasher")]
