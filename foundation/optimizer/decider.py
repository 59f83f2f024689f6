"""The singleton that decides: it runs the engine on the metrics of the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
from dataclasses import replace
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.live_settings import SettingState
from foundation.errors import FoundationError
from foundation.facade import Failed
from foundation.health_monitor import cluster_metrics
from foundation.kernel.ops import cancel_timer, current, me, send_after, spawn
from foundation.kernel.reports import Notice
from foundation.optimizer.engine import REMEMBERED, Engine, by_hand
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
from foundation.optimizer.values import AUTO, SERVER, Options, Recommendation
from foundation.otp import GenServer, multi_call
from foundation.otp.results import NoReply
from foundation.scope.spans import note

NODE_SECONDS = 5.0  # that a node may take to change a setting
READ_SECONDS = 1.0  # after a change: readings from which its trial is counted
CONFIRM_SECONDS = 120.0  # beyond all attempts to judge a trial
WAKE = "foundation.optimizer.wake"


class Optimizer(GenServer):
    """Runs the engine on the metrics of the cluster; one in the cluster, wherever it is."""

    def init(self, options: Options) -> Any:
        """Begin; the options of an earlier life hold, if a node remembers them."""
        self.engine = Engine(options, _now())
        self.version = self.news = 0
        self.told: Recommendation | None = None  # the end of the history that nodes remember
        self.having: dict[str, list[tuple[str, str]]] = {}  # setting -> the nodes that have it
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
        latest = max(known, key=lambda one: one.age, default=None)
        if latest is not None and latest.version > self.version:
            self.version, self.news = latest.age
            self.engine.configure(latest.options, _now())
            self.engine.kept = dict(latest.kept)
            self.engine.history.extend(latest.history)
            self.told = latest.history[-1] if latest.history else None
        self._sleep()

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer; a cycle is run before."""
        match request:
            case RunOnce():
                await self._cycle()
                await self._remember_news()
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
        await self._remember_news()
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
        broken = self._import_modules()
        metrics = await cluster_metrics()
        settings = await self._settings()
        known = dict.fromkeys(one.rule for one in self.engine.recommendations)
        change = self.engine.cycle(_now(), metrics, settings, RULES.values(), broken)
        for one in self.engine.recommendations:
            if one.rule not in known:
                _log("info", f"optimizer recommends {one}")
        for rule, why in self.engine.failures.items():
            _log("warning", f"optimizer rule {rule!r} failed: {why}")
        if change is not None:
            await self._apply(change, metrics.settings.window)

    def _import_modules(self) -> dict[str, str]:
        """Import the modules of rules; return those that cannot be, and why."""
        broken = {}
        for name in self.engine.options.modules:
            try:
                importlib.import_module(name)
            except Exception as error:  # a module of the user's
                broken[name] = f"the module cannot be imported: {error!r}"
        return broken

    async def _settings(self) -> dict[str, SettingState]:
        """Return the live settings that most nodes have.

        In mode ``"auto"`` those that were kept are made so, but for what was set by hand (E4).
        """
        answers, _ = await multi_call(_servers(), ReadSettings(), timeout=NODE_SECONDS)
        by_name: dict[str, list[tuple[Any, SettingState]]] = {}
        for server, states in answers:
            if isinstance(states, dict):
                for name, state in states.items():
                    by_name.setdefault(name, []).append((server, state))
        found = {}
        for name, rows in by_name.items():
            self.having[name] = [server for server, _ in rows]
            await self._respect(name, rows)
            kept = self.engine.kept.get(name)
            late = [server for server, s in rows if s.value != kept or not s.uniform]
            tuning = self.engine.options.mode == AUTO and self.engine.trial is None
            if late and kept is not None and tuning:
                await multi_call(late, Tune(name, kept), timeout=NODE_SECONDS)
                rows = [(server, replace(s, value=kept, uniform=True)) for server, s in rows]
            values = [state.value for _, state in rows]
            usual = max(dict.fromkeys(values), key=values.count)
            state = next(state for _, state in rows if state.value == usual)
            found[name] = next((state for _, state in rows if by_hand(state)), state)
        return found

    async def _respect(self, name: str, rows: list[tuple[Any, SettingState]]) -> None:
        """Give up what was kept or is on trial where somebody has set something else by hand."""
        set_ = next((state for _, state in rows if by_hand(state)), None)
        if set_ is None:
            return
        known = name in self.engine.kept
        trial = self.engine.overruled(_now(), name, set_.value)
        if trial is not None:
            others = [server for server, state in rows if not by_hand(state)]
            await _all(others, Tune(name, trial.current))
        if known or trial is not None:
            _log("info", f"optimizer {self.engine.history[-1].outcome}: live setting {name}")
            await self._remember()

    # Changes

    async def _apply(self, one: Recommendation, window: float) -> None:
        """Change it on all nodes, or on none."""
        trial = self.engine.options.trial
        before = await cluster_metrics(within=max(trial, window))
        where = self.having[one.setting]
        why = await _all(where, Tune(one.setting, one.proposed, 3 * trial + CONFIRM_SECONDS))
        if why:
            await _all(where, Tune(one.setting, one.current))
        self.engine.applied(_now(), one, before, why)
        if not why:
            spawn(_read_after, min(READ_SECONDS, trial / 4))
        _log("info", f"optimizer {'did not apply' if why else 'applied'} {one}{why and ': '}{why}")

    async def _verify(self) -> None:
        """Judge what is on trial by what was measured since it was applied."""
        await self._settings()
        trial = self.engine.trial
        if trial is None:
            return  # somebody has set it by hand meanwhile
        try:
            after = await cluster_metrics(within=max(READ_SECONDS, _now() - trial.since))
        except (FoundationError, TimeoutError):
            after = None
        change = self.engine.verify(_now(), after)
        if change is not None:
            why = await _all(self._where(change.setting), Tune(change.setting, change.current))
            outcome = self.engine.history[-1].outcome
            _log("warning", f"optimizer {outcome}: {change}{why and '; '}{why}")
        elif self.engine.trial is None:
            setting = trial.recommendation.setting
            await _all(self._where(setting), Confirm(setting))
            await self._remember()
            _log("info", f"optimizer {self.engine.history[-1].outcome}: {trial.recommendation}")

    def _where(self, setting: str) -> list[tuple[str, str]]:
        """Return the nodes that have *setting* and are still there."""
        return [server for server in _servers() if server in self.having.get(setting, _servers())]

    async def _remember(self) -> None:
        """Have the nodes remember what the next life is to know."""
        self.version += 1
        await self._tell()

    async def _remember_news(self) -> None:
        """Have them remember the history, too, when it has grown."""
        if self.engine.history and self.engine.history[-1] != self.told:
            self.news += 1
            await self._tell()

    async def _tell(self) -> None:
        history = tuple(self.engine.history)[-REMEMBERED:]
        self.told = history[-1] if history else None
        kept = dict(self.engine.kept)
        words = Remember(self.version, self.engine.options, kept, history, self.news)
        await multi_call(_servers(), words, timeout=NODE_SECONDS)


async def _all(servers: list[tuple[str, str]], request: Tune | Confirm) -> str:
    """Have all of *servers* do it; return why not all did, or ``""``."""
    answers, missing = await multi_call(servers, request, timeout=NODE_SECONDS)
    for server, answer in answers:
        if isinstance(answer, Failed):
            return f"node {server[1]}: {answer.error}"
        if isinstance(request, Tune) and answer != request.value:
            return f"node {server[1]} has {answer!r} after {request.value!r} was set"
    if missing:
        return f"nodes {', '.join(server[1] for server in missing)} did not answer"
    return ""


async def _read_after(seconds: float) -> None:
    """Have all nodes read their counters: what they count from there on is after the change."""
    await asyncio.sleep(seconds)
    with contextlib.suppress(FoundationError, TimeoutError):
        await cluster_metrics()


def _servers() -> list[tuple[str, str]]:
    return [(SERVER, node) for node in cluster_of(current()).view.names]


def _now() -> float:
    return current().kernel.driver.now()


def _log(level: str, text: str) -> None:
    """Write *text* to the log, and into the traces that run."""
    note(text)
    current().kernel.driver.report(Notice(level, text, {"event": "optimizer"}))
