"""The optimizer's processes: a server on each node, and the singleton that decides."""

from __future__ import annotations

import asyncio
import importlib
import math
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.live_settings import SettingState, change_setting
from foundation.errors import FoundationError
from foundation.facade import FacadeServer, Failed
from foundation.health_monitor import ClusterMetrics, cluster_metrics
from foundation.kernel.ops import cancel_timer, current, me, reply, send_after, spawn
from foundation.kernel.reports import Notice
from foundation.optimizer import functions
from foundation.optimizer.engine import Engine
from foundation.optimizer.messages import (
    Confirm,
    GetOptions,
    History,
    ReadSettings,
    Recall,
    Recommendations,
    Remember,
    RunOnce,
    SetOptions,
    Tune,
)
from foundation.optimizer.rules import RULES
from foundation.optimizer.values import SERVER, SINGLETON, Options, Recommendation
from foundation.otp import GenServer, multi_call
from foundation.otp.child_spec import ChildSpec
from foundation.otp.results import NoReply
from foundation.process_manager import start_singleton

RETRY_SECONDS = 5.0
NODE_SECONDS = 5.0  # that a node may take to change a setting
CONFIRM_SECONDS = 120.0  # beyond all attempts to judge a trial
WAKE, UNDO = "foundation.optimizer.wake", "foundation.optimizer.undo"


class OptimizerServer(FacadeServer):
    """Starts the singleton, changes the settings of its node, and answers messages.

    The functions of the package are here, too: ``await OptimizerServer.recommendations()``.
    """

    run_once = staticmethod(functions.run_once)
    recommendations = staticmethod(functions.recommendations)
    history = staticmethod(functions.history)
    options = staticmethod(functions.options)
    configure = staticmethod(functions.configure)
    live_settings = staticmethod(functions.live_settings)

    def init(self, options: Options | None = None) -> None:
        """Have the singleton started."""
        self.remembered: Remember | None = None
        self.trials: dict[str, tuple[float, Any]] = {}  # setting -> (value of before, timer)
        spawn(_start_singleton, options or Options(), link=True)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve what is about this node, and what functions of the package stand for."""
        match request:
            case Tune():
                spawn(_tune, me(), request, caller)
                return NoReply()
            case Confirm(setting):
                self._forget(setting)
                return True
            case Remember():
                if self.remembered is None or self.remembered.version < request.version:
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
    while True:
        try:
            await start_singleton(Optimizer, options, name=SINGLETON)
            return
        except (FoundationError, TimeoutError):  # the members do not agree yet
            await asyncio.sleep(RETRY_SECONDS)


async def _tune(server: Any, request: Tune, caller: Any) -> None:
    from foundation.kernel.ops import send

    try:
        settings = await ReadSettings().perform()
        before = settings[request.setting].value if request.setting in settings else math.nan
        answer: Any = await change_setting(request.setting, request.value)
        send(server, ("tuned", request.setting, before, request.within))
    except Exception as error:
        answer = Failed(error)
    reply(caller, answer)


async def _undo(setting: str, value: float) -> None:
    await change_setting(setting, value)
    text = f"live setting {setting} is {value!r} again: nobody confirmed its change in time"
    current().kernel.driver.report(Notice("warning", text))


class Optimizer(GenServer):
    """Runs the engine on the metrics of the cluster; one in the cluster, wherever it is."""

    def init(self, options: Options) -> Any:
        """Begin; the options of an earlier life hold, if a node remembers them."""
        self.engine = Engine(options, _now())
        self.version = 0
        self.timer: Any = None
        return NoReply(continue_="recall")

    def export_state(self) -> Any:
        """Give all to the next self, on another node."""
        return self.version, self.engine.export(_now())

    def import_state(self, state: Any) -> None:
        """Go on where the former self stopped."""
        self.version, engine = state
        self.engine = Engine.restore(engine, _now())

    async def handle_continue(self, argument: Any) -> None:
        """Take over what the nodes remember of an earlier life that crashed."""
        answers, _ = await multi_call(_servers(), Recall(), timeout=NODE_SECONDS)
        known = [answer for _, answer in answers if isinstance(answer, Remember)]
        latest = max(known, key=lambda one: one.version, default=None)
        if latest is not None and latest.version > self.version:
            self.version = latest.version
            self.engine.configure(latest.options, _now())
            self.engine.kept = dict(latest.kept)
        self._sleep()

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer; a cycle is run before."""
        match request:
            case RunOnce():
                await self._cycle()
                self._sleep()
                return self.engine.recommendations
            case Recommendations():
                return self.engine.recommendations
            case History():
                return list(self.engine.history)
            case GetOptions():
                return self.engine.options
            case SetOptions(options):
                self.engine.configure(options, _now())
                await self._remember()
                self._sleep()
                return self.engine.options
        return super().handle_call(request, caller)

    async def handle_info(self, message: Any) -> None:
        """It is time to look, or to judge a change."""
        if message != WAKE:
            return
        due = self.engine.due(_now())
        if due == "verify":
            await self._verify()
        elif due == "cycle":
            await self._cycle()
        self._sleep()

    def _sleep(self) -> None:
        if self.timer is not None:
            cancel_timer(self.timer)
            self.timer = None
        wake = self.engine.wake
        if wake < math.inf:
            self.timer = send_after(max(0.0, wake - _now()), me(), WAKE)

    # Cycles

    async def _cycle(self) -> None:
        self._import_modules()
        metrics = await cluster_metrics()
        settings = await self._settings()
        known = dict.fromkeys(one.rule for one in self.engine.recommendations)
        change = self.engine.cycle(_now(), metrics, settings, RULES.values())
        for one in self.engine.recommendations:
            if one.rule not in known:
                _log("info", f"optimizer recommends {one}")
        for rule, why in self.engine.failures.items():
            _log("warning", f"optimizer rule {rule!r} failed: {why}")
        if change is not None:
            await self._apply(change, metrics)

    def _import_modules(self) -> None:
        for name in self.engine.options.modules:
            try:
                importlib.import_module(name)
            except Exception as error:  # a module of the user's
                _log("warning", f"optimizer: module {name!r} of rules: {error!r}")

    async def _settings(self) -> dict[str, SettingState]:
        """Return the live settings that most nodes have; those that were kept are made so."""
        answers, _ = await multi_call(_servers(), ReadSettings(), timeout=NODE_SECONDS)
        by_name: dict[str, list[tuple[Any, SettingState]]] = {}
        for server, states in answers:
            if isinstance(states, dict):
                for name, state in states.items():
                    by_name.setdefault(name, []).append((server, state))
        found = {}
        for name, rows in by_name.items():
            kept = self.engine.kept.get(name)
            late = [server for server, state in rows if kept not in (None, state.value)]
            if late and kept is not None and self.engine.trial is None:
                await multi_call(late, Tune(name, kept), timeout=NODE_SECONDS)
                rows = [(server, _with(state, kept)) for server, state in rows]
            values = [state.value for _, state in rows]
            usual = max(dict.fromkeys(values), key=values.count)
            found[name] = next(state for _, state in rows if state.value == usual)
        return found

    # Changes

    async def _apply(self, one: Recommendation, before: ClusterMetrics) -> None:
        """Change it on all nodes, or on none."""
        trial = self.engine.options.trial
        why = await _everywhere(Tune(one.setting, one.proposed, 3 * trial + CONFIRM_SECONDS))
        if why:
            await _everywhere(Tune(one.setting, one.current))
        self.engine.applied(_now(), one, before, why)
        _log("info", f"optimizer {'did not apply' if why else 'applied'} {one}{why and ': '}{why}")

    async def _verify(self) -> None:
        try:
            after = await cluster_metrics()
        except (FoundationError, TimeoutError):
            after = None
        trial = self.engine.trial
        change = self.engine.verify(_now(), after)
        if change is not None:
            why = await _everywhere(Tune(change.setting, change.current))
            outcome = self.engine.history[-1].outcome
            _log("warning", f"optimizer {outcome}: {change}{why and '; '}{why}")
        elif self.engine.trial is None and trial is not None:
            await _everywhere(Confirm(trial.recommendation.setting))
            await self._remember()
            _log("info", f"optimizer {self.engine.history[-1].outcome}: {trial.recommendation}")

    async def _remember(self) -> None:
        self.version += 1
        words = Remember(self.version, self.engine.options, dict(self.engine.kept))
        await multi_call(_servers(), words, timeout=NODE_SECONDS)


async def _everywhere(request: Tune | Confirm) -> str:
    """Have all nodes do it; return why not all did, or ``""``."""
    servers = _servers()
    answers, missing = await multi_call(servers, request, timeout=NODE_SECONDS)
    for server, answer in answers:
        if isinstance(answer, Failed):
            return f"node {server[1]}: {answer.error}"
        if isinstance(request, Tune) and answer != request.value:
            return f"node {server[1]} has {answer!r} after {request.value!r} was set"
    if missing:
        return f"nodes {', '.join(server[1] for server in missing)} did not answer"
    return ""


def _with(state: SettingState, value: float) -> SettingState:
    return SettingState(state.name, value, state.unit, state.low, state.high, state.about)


def _servers() -> list[tuple[str, str]]:
    return [(SERVER, node) for node in cluster_of(current()).view.names]


def _now() -> float:
    return current().kernel.driver.now()


def _log(level: str, text: str) -> None:
    current().kernel.driver.report(Notice(level, text, {"event": "optimizer"}))
