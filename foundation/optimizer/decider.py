"""The singleton that decides: it runs the engine on the metrics of the cluster."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.live_settings import SettingState
from foundation.errors import FoundationError
from foundation.facade import Failed
from foundation.health_monitor import ClusterMetrics, cluster_metrics
from foundation.kernel.ops import cancel_timer, current, me, send_after
from foundation.kernel.reports import Notice
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
from foundation.optimizer.values import SERVER, Options, Recommendation
from foundation.otp import GenServer, multi_call
from foundation.otp.results import NoReply
from foundation.scope.spans import note

NODE_SECONDS = 5.0  # that a node may take to change a setting
CONFIRM_SECONDS = 120.0  # beyond all attempts to judge a trial
WAKE = "foundation.optimizer.wake"


class Optimizer(GenServer):
    """Runs the engine on the metrics of the cluster; one in the cluster, wherever it is."""

    def init(self, options: Options) -> Any:
        """Begin; the options of an earlier life hold, if a node remembers them."""
        self.engine = Engine(options, _now())
        self.version = 0
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
            self.having[name] = [server for server, _ in rows]
            late = [server for server, s in rows if s.value != kept or not s.uniform]
            if late and kept is not None and self.engine.trial is None:
                await multi_call(late, Tune(name, kept), timeout=NODE_SECONDS)
                rows = [(server, replace(s, value=kept, uniform=True)) for server, s in rows]
            values = [state.value for _, state in rows]
            usual = max(dict.fromkeys(values), key=values.count)
            found[name] = next(state for _, state in rows if state.value == usual)
        return found

    # Changes

    async def _apply(self, one: Recommendation, before: ClusterMetrics) -> None:
        """Change it on all nodes, or on none."""
        trial = self.engine.options.trial
        where = self.having[one.setting]
        why = await _all(where, Tune(one.setting, one.proposed, 3 * trial + CONFIRM_SECONDS))
        if why:
            await _all(where, Tune(one.setting, one.current))
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
            why = await _all(self._where(change.setting), Tune(change.setting, change.current))
            outcome = self.engine.history[-1].outcome
            _log("warning", f"optimizer {outcome}: {change}{why and '; '}{why}")
        elif self.engine.trial is None and trial is not None:
            setting = trial.recommendation.setting
            await _all(self._where(setting), Confirm(setting))
            await self._remember()
            _log("info", f"optimizer {self.engine.history[-1].outcome}: {trial.recommendation}")

    def _where(self, setting: str) -> list[tuple[str, str]]:
        """Return the nodes that have *setting* and are still there."""
        return [server for server in _servers() if server in self.having.get(setting, _servers())]

    async def _remember(self) -> None:
        self.version += 1
        words = Remember(self.version, self.engine.options, dict(self.engine.kept))
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


def _servers() -> list[tuple[str, str]]:
    return [(SERVER, node) for node in cluster_of(current()).view.names]


def _now() -> float:
    return current().kernel.driver.now()


def _log(level: str, text: str) -> None:
    """Write *text* to the log, and into the traces that run."""
    note(text)
    current().kernel.driver.report(Notice(level, text, {"event": "optimizer"}))
