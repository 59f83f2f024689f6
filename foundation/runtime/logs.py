"""Reports of kernels as records of the standard library's logging.

Logger ``foundation`` (crashes: error; supervisors: error; notices: their level). Each record
has the report's fields as ``record.foundation``. Silent by default except errors, which the
standard library's last-resort handler prints.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from foundation.kernel.reports import CrashReport, Notice, SupervisorReport
from foundation.kernel.values import Crash

log = logging.getLogger("foundation")


def log_report(report: Any) -> None:
    """Write *report* to the log; never raises."""
    try:
        level, text, fields = _render(report)
        log.log(level, "%s", text, extra={"foundation": fields})
    except Exception:
        log.exception("a report could not be logged: %r", type(report).__name__)


def _render(report: Any) -> tuple[int, str, dict[str, Any]]:
    if isinstance(report, Notice):
        return getattr(logging, report.level.upper()), report.text, report.fields
    fields = {f.name: getattr(report, f.name) for f in dataclasses.fields(report)}
    if isinstance(report, CrashReport):
        return logging.ERROR, _crash_text(report), fields
    if isinstance(report, SupervisorReport):
        text = (
            f"supervisor {report.supervisor!r}: {report.context}, child {report.child} "
            f"{report.pid or ''} reason: {report.reason!r}"
        )
        return logging.ERROR, text, fields
    return logging.INFO, repr(report), fields


def _crash_text(report: CrashReport) -> str:
    name = f" {report.name!r}" if report.name is not None else ""
    lines = [f"{report.kind}{name} {report.pid!r} terminated: {report.reason!r}"]
    if report.last_message:
        lines.append(f"  last message: {report.last_message}")
    if report.client is not None:
        lines.append(f"  client: {report.client!r}")
    if report.state:
        lines.append(f"  state: {report.state}")
    if report.ancestors:
        lines.append(f"  ancestors: {', '.join(repr(a) for a in report.ancestors)}")
    if isinstance(report.reason, Crash) and report.reason.traceback_text:
        lines.append(report.reason.traceback_text.rstrip())
    return "\n".join(lines)
