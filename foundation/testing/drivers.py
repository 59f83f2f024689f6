"""Ways to run the body of a test: one test, several worlds.

``simulator``    virtual time, scheduling drawn from a seed
``interpreter``  one kernel on a real asyncio loop
``processes``    a node; what the body starts runs in another operating-system process

Each is used as a function: ``run(body, *args)`` returns what the body returned or raises what
it raised, and fails the test when processes, names or timers are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from foundation.kernel.kernel import Kernel
from foundation.otp.kernel_setup import install
from foundation.runtime.driver import AsyncioDriver
from foundation.testing.bodies import Body, leftovers, parked, set_done
from foundation.testing.simulator import Simulation

BODY_SECONDS = 60.0
GRACE_SECONDS = 3.0


class Leak(AssertionError):
    """A test has ended and something that it started has not."""

    def __init__(self, left: list[str]) -> None:
        super().__init__(
            "the test left behind (end it in the body, link it to the body, or set "
            "run.allow_leftovers = True):\n  " + "\n  ".join(left)
        )
        self.left = left


class Runner:
    """Base of the drivers.

    Attributes:
        name: of the driver.
        reports: what processes told the log: ``CrashReport``, ``SupervisorReport``, ``Notice``.
        allow_leftovers: set True in a test that means to leave processes; they are killed.
    """

    name = ""

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.allow_leftovers = False

    def __call__(self, body: Callable[..., Any], *args: Any) -> Any:
        """Run *body* as a process; return its result.

        Args:
            body: ``def`` or ``async def``; when it ends, its process exits with ``shutdown``,
                so that what it has linked ends too.
            *args: its arguments.

        Raises:
            whatever *body* raised.
            BodyExited: an exit signal ended its process.
            Leak: something was left.
        """
        try:
            result = self.run_body(body, args)
        except BaseException:
            self.clean()
            raise
        left = self.settle()
        self.clean()
        if left and not self.allow_leftovers:
            raise Leak(left)
        return result

    def run_body(self, body: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run *body* to its end."""
        raise NotImplementedError

    def settle(self) -> list[str]:
        """Let what is ending end; describe what is left."""
        raise NotImplementedError

    def clean(self) -> None:
        """End what is left; the next body finds nothing of it."""
        raise NotImplementedError

    def close(self) -> None:
        """End the world of this driver."""
        self.clean()


class SimulatorRunner(Runner):
    """Runs bodies in the deterministic simulator."""

    name = "simulator"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed
        self._simulation: Simulation | None = None

    def run_body(self, body: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run *body* in a new simulation."""
        self._simulation = Simulation(self._seed)
        self._simulation.reports = self.reports
        return self._simulation.run(body, *args)

    def settle(self) -> list[str]:
        """Let a virtual minute pass at most."""
        assert self._simulation is not None
        if self.allow_leftovers:
            return []
        left = self._simulation.settle()
        return left + list(tasks_left(self._simulation.loop).values())

    def clean(self) -> None:
        """End the simulation."""
        simulation, self._simulation = self._simulation, None
        if simulation is not None:
            _cancel_tasks(simulation.loop)
            simulation.close()


class InterpreterRunner(Runner):
    """Runs bodies in one kernel on a real asyncio loop."""

    name = "interpreter"

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kernel: Kernel | None = None
        self._errors: list[BaseException] = []

    def run_body(self, body: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run *body* in a new kernel on a new loop."""
        loop = self._loop = asyncio.new_event_loop()
        loop.set_exception_handler(self._callback_failed)
        driver = AsyncioDriver(loop, report=self.reports.append)
        kernel = self._kernel = Kernel("test/main", driver)
        install(kernel)
        done = loop.create_future()
        running = Body(body, args, lambda: set_done(done))
        running.start(kernel)
        try:
            loop.run_until_complete(asyncio.wait_for(done, BODY_SECONDS))
        except TimeoutError:
            lines = "\n  ".join(parked([kernel]))
            raise AssertionError(
                f"the body has not ended within {BODY_SECONDS} s. Waiting:\n  {lines}"
            ) from None
        if self._errors:
            raise self._errors.pop(0)
        return running.result()

    def settle(self) -> list[str]:
        """Wait some seconds at most."""
        assert self._loop is not None
        if self.allow_leftovers:
            return []
        return self._loop.run_until_complete(self._settle())

    async def _settle(self) -> list[str]:
        assert self._kernel is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        while left := leftovers(self._kernel) + list(tasks_left(loop).values()):
            if loop.time() >= deadline:
                return left
            await asyncio.sleep(0.002)
        return []

    def clean(self) -> None:
        """Close kernel and loop."""
        kernel, loop = self._kernel, self._loop
        self._kernel = self._loop = None
        if kernel is not None:
            kernel.close()
        if loop is not None:
            _cancel_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _callback_failed(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._errors.append(error or RuntimeError(context.get("message", "?")))


def tasks_left(loop: asyncio.AbstractEventLoop) -> dict[Any, str]:
    """Return the asyncio tasks of *loop* but the current one, each with a description."""
    current = asyncio.current_task(loop)
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    return {task: f"asyncio task {task!r}" for task in tasks if task is not current}


def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


DRIVERS = ("simulator", "interpreter", "processes")
