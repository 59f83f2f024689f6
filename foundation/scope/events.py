"""What a trace consists of: one ``Event`` for each message, span, start and end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.kernel.values import Pid, Ref
from foundation.runtime.inspect import text as pid_text
from foundation.scope.clock import Stamp

KINDS = (
    *("call", "cast", "info", "timer", "signal", "reply", "failure"),
    *("spawn", "span", "note", "end"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One message, or something else that happened.

    Attributes:
        id: of this event.
        chain: the id of the event that began it all; common to everything that followed from it.
        parent: what the sender was handling when it sent this; None at the beginning of a chain.
        kind: ``"call"``, ``"cast"``, ``"info"`` (``send``), ``"timer"`` (``send_after``),
            ``"signal"`` (``Down`` or ``ExitMsg``), ``"reply"``; ``"failure"`` is where a caller
            learned that no reply comes: nobody is there, or its time was up; ``"spawn"`` is the
            start of a process, ``"span"`` a ``scope.span``, ``"note"`` a ``scope.note``,
            ``"end"`` the end of a process.
        sender: who sent it; the process itself for spans, notes and ends, the caller for failures.
        receiver: who it is for; a pid that nobody has where a call was made to a name that
            nobody held.
        text: the message, abbreviated; the name of a span, the text of a note; the reason of an
            end or a failure.
        sent: when it was sent, or when a span began.
        taken: when its receiver began to handle it, or when a span was over; None: it has not.
        answers: of a reply or a failure, the id of its call.
        ok: False for the reply to a call that failed, a failure, a span that was left by an
            exception, and an end for a reason that is not clean.
    """

    id: Ref
    chain: Ref
    parent: Ref | None
    kind: str
    sender: Pid
    receiver: Pid
    text: str
    sent: Stamp
    taken: Stamp | None = None
    answers: Ref | None = None
    ok: bool = True

    @property
    def crosses(self) -> bool:
        """Whether it went from one host to another."""
        return self.sender.host != self.receiver.host

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "id": ref_text(self.id),
            "chain": ref_text(self.chain),
            "parent": ref_text(self.parent) if self.parent is not None else None,
            "kind": self.kind,
            "sender": pid_text(self.sender),
            "receiver": pid_text(self.receiver),
            "text": self.text,
            "sent": list(self.sent),
            "taken": list(self.taken) if self.taken is not None else None,
            "answers": ref_text(self.answers) if self.answers is not None else None,
            "ok": self.ok,
        }


class Hop:
    """An event in the making; see ``Event``. Also what causes others, while it is handled."""

    __slots__ = (
        "answers", "chain", "id", "keep", "kind", "ok", "parent", "receiver", "sender", "sent",
        "taken", "text",
    )  # fmt: skip

    def __init__(
        self,
        id: Ref,
        chain: Ref,
        parent: Ref | None,
        kind: str,
        sender: Pid,
        receiver: Pid,
        text: str,
        sent: Stamp,
        answers: Ref | None = None,
    ) -> None:
        self.id = id
        self.chain = chain
        self.parent = parent
        self.kind = kind
        self.sender = sender
        self.receiver = receiver
        self.text = text
        self.sent = sent
        self.taken: Stamp | None = None
        self.answers = answers
        self.ok = True
        self.keep = False  # whether the trace wants it

    def event(self) -> Event:
        """Return it as a value."""
        return Event(
            *(self.id, self.chain, self.parent, self.kind, self.sender, self.receiver, self.text),
            *(self.sent, self.taken, self.answers, self.ok),
        )


class Unsampled:
    """The type of ``UNSAMPLED``: the cause of what belongs to a chain that is left out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSAMPLED"


UNSAMPLED = Unsampled()
Cause = Hop | Unsampled | None  # None: no cause is known, so what follows begins a chain


def ref_text(ref: Ref) -> str:
    """Return the id of an event as text."""
    return f"{ref.host}.{ref.incarnation}#{ref.number}"
