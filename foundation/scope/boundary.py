"""Where code asks what its host knows: the functions whose answers a recording keeps.

A server that looks up a name, reads a setting or subscribes asks tables of its host that do not
exist in a replay. So while anything is recorded or replayed in this program, the code of these
functions is exchanged for a few instructions that look whether the process which calls is one of
those. If it is, its kernel is asked (``Asking.asks``): while recording to call the function and
to keep what it answered, in a replay to answer that without calling it. Else the function runs.

When nothing is recorded the functions are what they were, to the last instruction.

Invariants:
    B1  Functions are exchanged while somebody needs that, and the last one puts them back.
    B2  Of a function that calls others of these, only the outermost is asked about.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE, CO_GENERATOR, signature
from types import CodeType, FunctionType
from typing import Any, cast

from foundation.kernel.process import CURRENT

# Packages whose exported functions ask; those above this floor only where they are in use.
PACKAGES = (
    "foundation.otp.registry",
    "foundation.cluster",
    "foundation.cluster.pubsub",
    "foundation.cluster.registry",
    "foundation.cluster.supervisor",
    "foundation.channels",
    "foundation.process_manager",
    "foundation.service_mesh",
    "foundation.config",
)
ABOVE = ("foundation.health_monitor", "foundation.optimizer")
# What belongs to objects that such functions return, and others that are not exported there.
OTHERS = (
    ("foundation.otp.registry_lock", "Lock.__aenter__"),
    ("foundation.otp.registry_lock", "Lock.__aexit__"),
    ("foundation.cluster.live_settings", "read_settings"),
    ("foundation.cluster.live_settings", "change_setting"),
    ("foundation.cluster.pubsub.subscription", "Subscription.__await__"),
    ("foundation.cluster.pubsub.subscription", "end_subscription"),
    ("foundation.cluster.pubsub.pending", "Pending.__await__"),
    ("foundation.service_mesh", "ServiceHandle.deregister"),
    ("foundation.service_mesh", "ServiceHandle.renew"),
    *(
        ("foundation.scope.functions", name)
        for name in ("start_trace", "collect", "Trace.stop", "Trace.count")
    ),
    *(
        ("foundation.scope.states", name)
        for name in ("watch_state", "state_history", "unwatch_state")
    ),
    *(
        ("foundation.scope.recording", name)
        for name in ("record", "stop_recording", "start_recorded")
    ),
)
# Exported functions that ask nothing: they make values, or serve tools.
NOT_ASKED = frozenset({
    *("specs", "spec", "via", "is_service", "overall", "infos", "explain"),
    *("lock", "install", "current_trace", "ClusterConfig"),
    *("churn_level", "combine", "exposition", "judge", "hurt", "optimizer_rule"),
})  # fmt: skip

_LOCK = threading.Lock()
_HOOK = "hook"


class _Exchanged:
    """The few instructions that stand in for a function, and what they lead to."""

    def __init__(self, function: FunctionType, name: str) -> None:
        self.function = function
        self.code = function.__code__
        self.name = name
        self.plain = FunctionType(
            self.code, function.__globals__, function.__name__, function.__defaults__
        )
        self.plain.__kwdefaults__ = function.__kwdefaults__
        self.plain.__qualname__ = function.__qualname__
        self.other = self._filled(_template(self.code.co_flags).__code__)

    def _filled(self, template: CodeType) -> CodeType:
        constants = tuple(self if each == _HOOK else each for each in template.co_consts)
        return template.replace(
            co_consts=constants,
            co_name=self.code.co_name,
            co_qualname=self.code.co_qualname,
        )

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        process = CURRENT.get()
        asks = getattr(process.kernel, "asks", None) if process is not None else None
        if asks is None:
            return self.plain(*args, **kwargs)
        return asks(self.name, self.plain, args, kwargs)

    def begin(self) -> None:
        vars(self.function).setdefault("__signature__", signature(self.plain))
        self.function.__code__ = self.other

    def end(self) -> None:
        self.function.__code__ = self.code
        del self.function.__signature__  # type: ignore[attr-defined]


def _function(*args: Any, **kwargs: Any) -> Any:
    hook: Any = "hook"
    return hook(args, kwargs)


async def _coroutine(*args: Any, **kwargs: Any) -> Any:
    hook: Any = "hook"
    return await hook(args, kwargs)


def _generator(*args: Any, **kwargs: Any) -> Any:
    hook: Any = "hook"
    return (yield from hook(args, kwargs))


def _template(flags: int) -> FunctionType:
    """Return what is of the same kind as a function of *flags*, as Python asks from 3.13 on."""
    kind = _coroutine if flags & CO_COROUTINE else _generator if flags & CO_GENERATOR else _function
    return cast(FunctionType, kind)


def functions() -> Iterator[tuple[str, FunctionType]]:
    """Return the functions, each once, and what to call them in a recording."""
    seen: dict[int, None] = {}
    for name, function in _all():
        suits = type(function) is FunctionType and not function.__code__.co_freevars
        if suits and id(function) not in seen:
            seen[id(function)] = None
            yield name, function


def _all() -> Iterator[tuple[str, Any]]:
    for package in PACKAGES:
        yield from _exported(package, importlib.import_module(package))
    for package in ABOVE:
        if package in sys.modules:
            yield from _exported(package, sys.modules[package])
    for package, path in OTHERS:
        found: Any = importlib.import_module(package)
        for part in path.split("."):
            found = vars(found)[part]
        yield f"{package}.{path}", found


def _exported(package: str, module: Any) -> Iterator[tuple[str, Any]]:
    classes = []
    for name in module.__all__:
        found = getattr(module, name)
        if name in NOT_ASKED:
            continue
        yield f"{package}.{name}", found
        if isinstance(found, type):
            classes.append((f"{package}.{name}", found))
    for name, cls in classes:  # the same functions, most of them
        for inner, each in vars(cls).items():
            if isinstance(each, staticmethod) and inner not in NOT_ASKED:
                yield f"{name}.{inner}", each.__func__


class _Exchange:
    """Who needs the functions exchanged, and those that are (B1)."""

    def __init__(self) -> None:
        self.users = 0
        self.exchanged: list[_Exchanged] = []

    def begin(self) -> None:
        with _LOCK:
            self.users += 1
            known = {id(each.function) for each in self.exchanged}
            new = [_Exchanged(f, n) for n, f in functions() if id(f) not in known]
            for each in new:
                each.begin()
            self.exchanged += new

    def end(self) -> None:
        with _LOCK:
            self.users -= 1
            if not self.users:
                for each in self.exchanged:
                    each.end()
                self.exchanged = []


_EXCHANGE = _Exchange()
begin: Callable[[], None] = _EXCHANGE.begin
end: Callable[[], None] = _EXCHANGE.end


@contextmanager
def exchanged() -> Iterator[None]:
    """Have the functions exchanged within the block."""
    begin()
    try:
        yield
    finally:
        end()


__all__ = ["begin", "end", "exchanged", "functions"]
