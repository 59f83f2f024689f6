"""The optimizer's server on each node: it has the singleton started, and changes settings.

What it needs is imported a moment after the start of the node, and where it is needed only.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from typing import Any

from foundation.errors import FoundationError
from foundation.facade import FacadeServer, Failed
from foundation.kernel.ops import cancel_timer, current, me, reply, send, send_after, spawn
from foundation.kernel.reports import Notice
from foundation.optimizer.values import SERVER, SINGLETON, Options
from foundation.otp.child_spec import ChildSpec
from foundation.otp.results import NoReply
from foundation.process_manager import start_singleton

BEGIN_SECONDS = 0.25  # after the start
RETRY_SECONDS = 5.0
UNDO = "foundation.optimizer.undo"


class _Function:
    """A function of the package as an attribute of the class."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return getattr(importlib.import_module("foundation.optimizer"), self._name)


class OptimizerServer(FacadeServer):
    """Starts the singleton, changes the settings of its node, and answers messages.

    The functions of the package are here, too: ``await OptimizerServer.recommendations()``.
    """

    run_once = _Function()
    recommendations = _Function()
    history = _Function()
    options = _Function()
    configure = _Function()
    live_settings = _Function()

    def init(self, options: Options | None = None) -> None:
        """Have the singleton started in a moment."""
        self.remembered: Any = None
        self.trials: dict[str, tuple[float, Any]] = {}  # setting -> (value of before, timer)
        spawn(_start_singleton, options or Options(), link=True)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve what is about this node, and what functions of the package stand for."""
        from foundation.optimizer.messages import Confirm, Recall, Remember, Tune

        match request:
            case Tune():
                spawn(_tune, me(), request, caller)
                return NoReply()
            case Confirm(setting):
                self._forget(setting)
                return True
            case Remember():
                if self.remembered is None or self.remembered.age < request.age:
                    self.remembered = request
                return True
            case Recall():
                return self.remembered
        return super().handle_call(request, caller)

    def handle_info(self, message: Any) -> None:
        """A setting was tuned, or nobody has confirmed what was tuned on trial."""
        match message:
            case ("tuned", str(setting), before, within):
                first = self.trials[setting][0] if setting in self.trials else before
                self._forget(setting)
                if within is not None:
                    timer = send_after(within, me(), (UNDO, setting))
                    self.trials[setting] = (first, timer)
            case ("foundation.optimizer.undo", str(setting)) if setting in self.trials:
                before, _ = self.trials.pop(setting)
                spawn(_undo, setting, before)

    def _forget(self, setting: str) -> None:
        entry = self.trials.pop(setting, None)
        if entry is not None:
            cancel_timer(entry[1])

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the server of a node."""
        return super().spec(*args, **{"name": SERVER, "host": "worker", **options})


async def _start_singleton(options: Options) -> None:
    await asyncio.sleep(BEGIN_SECONDS)
    from foundation.optimizer.decider import Optimizer

    while True:
        try:
            await start_singleton(Optimizer, options, name=SINGLETON)
            return
        except (FoundationError, TimeoutError):  # the members do not agree yet
            await asyncio.sleep(RETRY_SECONDS)


async def _tune(server: Any, request: Any, caller: Any) -> None:
    from foundation.cluster.live_settings import change_setting, read_settings

    try:
        settings = await read_settings()
        before = settings[request.setting].value if request.setting in settings else math.nan
        answer: Any = await change_setting(request.setting, request.value, by=SERVER)
        send(server, ("tuned", request.setting, before, request.within))
    except Exception as error:
        answer = Failed(error)
    reply(caller, answer)


async def _undo(setting: str, value: float) -> None:
    from foundation.cluster.live_settings import change_setting, read_settings

    state = (await read_settings()).get(setting)
    if state is None or state.changed_by != SERVER:
        return  # it is gone, or somebody has set it by hand
    await change_setting(setting, value, by=SERVER)
    text = f"live setting {setting} is {value!r} again: nobody confirmed its change in time"
    current().kernel.driver.report(Notice("warning", text))
