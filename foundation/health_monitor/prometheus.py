"""The metrics as text that Prometheus scrapes (exposition format 0.0.4). Pure.

    text = exposition(await cluster_metrics())       # CONTENT_TYPE says what it is

What one node says is of the whole cluster: let Prometheus scrape one node, or tell them apart by
the ``instance`` label that it adds.
"""

from __future__ import annotations

import math

from foundation.health_monitor.families import Family, families
from foundation.health_monitor.values import (
    ClusterMetrics,
    HealthReport,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(source: ClusterMetrics | HealthReport) -> str:
    """Return the text for Prometheus.

    Args:
        source: what ``cluster_metrics`` or ``cluster_health`` returned.
    """
    return "".join(line + "\n" for family in families(source) for line in _lines(family))


def _lines(family: Family) -> list[str]:
    name = f"foundation_{family.name}"
    lines = [f"# HELP {name} {_escaped(family.about)}", f"# TYPE {name} {family.kind}"]
    for labels, value in family.samples:
        shown = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
        braces = f"{{{shown}}}" if shown else ""
        lines.append(f"{name}{braces} {_number(value)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _label(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float | int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return "NaN"
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
