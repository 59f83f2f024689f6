"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one step.

    Attributes:
        check: which step.
        status: a ``"problem"`` keeps the cluster from forming, a ``"warning"`` may.
        text: what was found.
        advice: what to do; "" when there is nothing to do.
    """

    check: str
    status: Status
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, advice: str) -> Finding:
    """Return a finding of something that may be wrong."""
    return Finding(check, "warning", text, advice)


def problem(check: str, text: str, advice: str) -> Finding:
    """Return a finding of something that is wrong."""
    return Finding(check, "problem", text, advice)
