"""What a recorded server is answered by the functions of ``boundary.py``: noted as *facts*.

    asked NAME ARGUMENTS "returned" VALUE | "raised" ERROR | "awaits" COROUTINE?
    parked KIND              it awaits what is recorded next, as the function did
    answered NAME "result" VALUE | "error" ERROR
"""

from __future__ import annotations

from collections.abc import Callable, Generator, KeysView, ValuesView
from types import CoroutineType
from typing import Any

from foundation.scope.packing import pack, packed_error, plain_text
from foundation.scope.strands import Strands

Note = Callable[..., None]
Steps = Generator[Any, Any, Any]

BARE, AWAITED, TOKEN = "bare", "future", "token"  # what something that awaits hands to the loop


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the arguments of a call as text."""
    shown = [plain_text(each) for each in args]
    shown += [f"{name}={plain_text(each)}" for name, each in kwargs.items()]
    return f"({', '.join(shown)})"


def ask(
    strands: Strands,
    note: Note,
    name: str,
    plain: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call *plain* for a recorded server, and note what it answers."""
    if not strands.inside:
        return plain(*args, **kwargs)
    about = arguments(args, kwargs)
    try:
        with strands.hushed():
            found = plain(*args, **kwargs)
    except BaseException as error:
        note("asked", name, about, "raised", packed_error(error))
        raise
    if hasattr(found, "send") and hasattr(found, "throw"):
        coroutine = type(found) is CoroutineType
        note("asked", name, about, "awaits", coroutine)
        steps = _steps(strands, note, name, found)
        return waited(steps) if coroutine else steps
    kept = tuple(found) if isinstance(found, (KeysView, ValuesView)) else found
    note("asked", name, about, "returned", pack(kept))
    return found


def _steps(strands: Strands, note: Note, name: str, inner: Any) -> Steps:
    """Run *inner*, and note that and where it waits, and what comes of it."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            with strands.hushed():
                token = inner.send(value) if error is None else inner.throw(error)
        except StopIteration as stop:
            note("answered", name, "result", pack(stop.value))
            return stop.value
        except BaseException as failed:
            note("answered", name, "error", packed_error(failed))
            raise
        note("parked", "", kind_of_token(token))
        value = error = None
        try:
            value = yield token
        except GeneratorExit:  # the callback is abandoned
            with strands.hushed():
                inner.close()
            raise
        except BaseException as thrown:
            error = thrown


def kind_of_token(token: Any) -> str:
    """Return what *token* is, that something which awaits hands to the loop."""
    if token is None:
        return BARE
    return TOKEN if getattr(token, "_asyncio_future_blocking", None) is None else AWAITED


class _Awaited:
    """Makes an awaitable of steps."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __await__(self) -> Steps:
        return self._steps


async def waited(steps: Steps) -> Any:
    """Run *steps*, as a coroutine."""
    return await _Awaited(steps)


__all__ = ["AWAITED", "BARE", "TOKEN", "Steps", "arguments", "ask", "waited"]
