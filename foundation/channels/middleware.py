"""What may stand between publishers and subscribers: functions around functions.

    def audited(envelope, next):
        log.info("%s %s: %r", envelope.side, envelope.channel, envelope.message)
        return next(envelope)                # or a changed one; or return None: dropped

    await channels.use(audited)

The first that was installed is the outermost. On the side ``"publish"`` the innermost ``next``
sends; what a middleware raises there, the caller of ``broadcast`` gets. On the side ``"deliver"``
it gives the message to the subscriber; an error there is logged, and the message dropped. So a
middleware that guards fails closed. Middleware must not wait.

Message and metadata may be changed, and on the side ``"publish"`` priority and compress. What else
an envelope says is so: to send on another channel, drop the message and broadcast it there.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from foundation.channels.errors import MiddlewareError
from foundation.channels.routing import LARGE
from foundation.channels.values import PRIORITIES, Envelope
from foundation.kernel.ops import current

Next = Callable[[Envelope], Envelope | None]
Middleware = Callable[[Envelope, Next], Envelope | None]
SIDES = ("publish", "deliver")
CHANGED = {
    "publish": ("message", "metadata", "priority", "compress"),
    "deliver": ("message", "metadata"),
}
FIXED = {
    side: tuple(field.name for field in fields(Envelope) if field.name not in changed)
    for side, changed in CHANGED.items()
}


def run(chain: Sequence[Middleware], envelope: Envelope, final: Next) -> Envelope | None:
    """Pass *envelope* through *chain* to *final*; return what the outermost returned.

    Raises:
        MiddlewareError: one returned something else than an envelope or None, or changed what
            cannot be changed.
        whatever they raise.
    """
    if not chain:
        return final(envelope)
    first, *rest = chain

    def following(passed: Envelope) -> Envelope | None:
        if type(passed) is not Envelope:
            raise MiddlewareError(f"{first!r} passed on {passed!r}, which is no Envelope")
        if passed is not envelope:
            _check_changes(first, envelope, passed)
        return run(rest, passed, final)

    result = first(envelope, following)
    if result is not None and type(result) is not Envelope:
        raise MiddlewareError(
            f"{first!r} returned {result!r}; it must return an Envelope (what next(...) returned) "
            "or None, which drops the message"
        )
    return result


def _check_changes(middleware: Any, given: Envelope, passed: Envelope) -> None:
    for name in FIXED[given.side]:
        if getattr(passed, name) != getattr(given, name):
            raise MiddlewareError(
                f"{middleware!r} changed {name} from {getattr(given, name)!r} to "
                f"{getattr(passed, name)!r}, which has no effect: on the side {given.side!r} a "
                f"middleware changes {' and '.join(CHANGED[given.side])}"
            )
    if passed.priority not in (None, *PRIORITIES):
        raise MiddlewareError(
            f"{middleware!r} changed priority to {passed.priority!r}: it is None or one of "
            f"{PRIORITIES}"
        )
    if passed.compress is not None and not _is_length(passed.compress):
        raise MiddlewareError(
            f"{middleware!r} changed compress to {passed.compress!r}: it is None, a bool or "
            "bytes of 0 or more"
        )


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def made(middleware: Any, config: dict[str, Any]) -> Middleware:
    """Return what is to be called: an instance of a class, or a function with its settings.

    Raises:
        TypeError: it is neither, does not take *config*, or cannot be called with an envelope and
            ``next``; or it is ``async``.
    """
    if inspect.isclass(middleware):
        middleware, config = middleware(**config), {}
    if not callable(middleware):
        raise TypeError(
            "a middleware is a function of (envelope, next), or an object or class with "
            f"__call__(envelope, next); got {middleware!r}"
        )
    _check_call(middleware, config)
    return partial(middleware, **config) if config else middleware


def _check_call(middleware: Any, config: dict[str, Any]) -> None:
    for each in (inspect.unwrap(middleware), type(middleware).__call__):
        while isinstance(each, partial):
            each = each.func
        if inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each):
            raise TypeError(
                f"{middleware!r} is async, and middleware must not wait: it is called for each "
                "message, and what it returns is sent or delivered at once; use a plain def"
            )
    try:
        signature = inspect.signature(middleware)
    except ValueError:  # some of C have none
        return
    try:
        signature.bind(None, None, **config)
    except TypeError as error:
        settings = f", and {', '.join(config)} as further arguments" if config else ""
        raise TypeError(
            f"a middleware is called as (envelope, next){settings}; {middleware!r} takes "
            f"{signature}: {error}"
        ) from None


def name_of(middleware: Any) -> str:
    """Return the qualified name of a middleware, its class or its function."""
    found = middleware.func if isinstance(middleware, partial) else middleware
    if not hasattr(found, "__qualname__"):
        found = type(found)
    return f"{found.__module__}.{found.__qualname__}"


def sides_of(middleware: Any, sides: Any) -> tuple[str, ...]:
    """Return on which sides a middleware is called: *sides*, or what it says itself, or both.

    Raises:
        ValueError: these are no sides.
    """
    wanted = getattr(middleware, "sides", SIDES) if sides is None else sides
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not wanted or any(side not in SIDES for side in wanted):
        raise ValueError(f"sides must be some of {SIDES}, got {wanted!r}")
    return wanted


class Compression:
    """Has messages compressed (zlib) on their way to other hosts, where subscribers get them plain.

    Args:
        threshold: bytes, encoded; what is shorter stays as it is. A broadcast with ``compress=``
            says otherwise for itself.
    """

    sides = ("publish",)

    def __init__(self, threshold: int = LARGE) -> None:
        if type(threshold) is not int or threshold < 0:
            raise ValueError(f"threshold must be bytes of 0 or more, got {threshold!r}")
        self.threshold = threshold

    def __call__(self, envelope: Envelope, next: Next) -> Envelope | None:
        """Say from which length on."""
        if envelope.compress is None and envelope.side == "publish":
            envelope = envelope.replace(compress=self.threshold)
        return next(envelope)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where something belongs in a causal trace; ids as in W3C Trace Context.

    Attributes:
        trace_id: 32 hex digits, the same for all that follows from one cause.
        span_id: 16 hex digits, of this one message.
        parent_id: the span in which it was sent; None for the first.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None


TRACE: ContextVar[Trace | None] = ContextVar("foundation_trace", default=None)
METADATA = "trace"  # the key of a Trace's fields in the metadata


def current_trace() -> Trace | None:
    """Return the trace in which this code runs.

    A handler that was given to ``channels.subscribe`` runs in that of its message; other code
    in the one it set itself, by ``TRACE.set``.
    """
    return TRACE.get()


def trace_of(metadata: dict[str, Any]) -> Trace | None:
    """Return the trace that came with a message."""
    found = metadata.get(METADATA)
    return None if found is None else Trace(*found)


class Tracing:
    """Gives each message a place in a trace: the one in which ``broadcast`` was called, or a new.

    It travels in the metadata, under ``"trace"``. A subclass may say otherwise what ``next_trace``
    is, to continue the traces of another library.
    """

    sides = ("publish",)

    def next_trace(self) -> Trace:
        """Return the trace of a message that is broadcast now."""
        parent = TRACE.get()
        span = _new_id(8)
        if parent is None:
            return Trace(_new_id(16), span)
        return Trace(parent.trace_id, span, parent.span_id)

    def __call__(self, envelope: Envelope, next: Next) -> Envelope | None:
        """Add the trace."""
        trace = self.next_trace()
        fields = [trace.trace_id, trace.span_id, trace.parent_id]
        return next(envelope.with_metadata(**{METADATA: fields}))


def _new_id(size: int) -> str:
    """Return *size* bytes in hex that nothing else has: made of a reference, not of chance."""
    ref = current().kernel.new_ref()
    return hashlib.blake2b(repr(tuple(ref)).encode(), digest_size=size).hexdigest()
