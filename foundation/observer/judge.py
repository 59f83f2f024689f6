"""How well a cluster is, from its picture (pure).

The health monitor's word counts where there is one. It is some seconds old, so who did not answer
just now is added, unless the monitor names it; all else is judged once, by the monitor.
"""

from __future__ import annotations

from typing import Any

HEALTHY, DEGRADED, CRITICAL = "healthy", "degraded", "critical"
ORDER = (HEALTHY, DEGRADED, CRITICAL)
FULL = 10_000  # messages that wait in one mailbox: its process does not keep up

Raw = dict[str, Any]


def judge(made: Raw, report: Any) -> Raw:
    """Return ``status``, ``reasons``, ``recommendations`` and where they come from.

    Args:
        made: the picture.
        report: of the health monitor, or None.
    """
    alone = not isinstance(report, dict)
    told = [] if alone else _texts(report.get("reasons") or report.get("issues"))
    seen = _silent(made, told)
    if alone:
        seen += [*_of_cluster(made), *_of_children(made), *_of_work(made)]
    worst = max((level for level, _ in seen), key=ORDER.index, default=HEALTHY)
    reasons = [text for _, text in seen]
    if alone:
        return {
            "status": worst,
            "reasons": reasons,
            "recommendations": [],
            "source": "picture",
            "report": None,
        }
    status = str(report.get("status", worst))
    return {
        "status": max(status, worst, key=lambda s: ORDER.index(s) if s in ORDER else 1),
        "reasons": [*told, *reasons],
        "recommendations": _texts(report.get("recommendations")),
        "source": "health_monitor",
        "report": report,
    }


def _texts(value: Any) -> list[str]:
    """Return reasons as texts, whether they are texts or values with one."""
    found = []
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            each = each.get("text") or each.get("reason") or each.get("message") or str(each)
        found.append(str(each))
    return found


def _silent(made: Raw, told: list[str]) -> list[tuple[str, str]]:
    """Return the nodes and hosts that did not answer and that no reason in *told* names."""
    words = {word for text in told for word in text.replace(",", " ").split()}
    found = []
    for kind in ("node", "host"):
        silent = [name for name in made["missing"][f"{kind}s"] if name not in words]
        most = kind == "node" and 2 * len(silent) > len(made["nodes"])
        if silent:
            level = CRITICAL if most else DEGRADED
            found.append((level, f"did not answer: {_names(kind, silent)}"))
    return found


def _of_cluster(made: Raw) -> list[tuple[str, str]]:
    found = []
    suspect = [row["name"] for row in made["nodes"] if row["state"] == "suspect"]
    if suspect:
        found.append((DEGRADED, f"suspected to be down: {_names('node', suspect)}"))
    cluster = made["cluster"]
    expected = None if cluster is None else cluster["expected_size"]
    if expected is not None and cluster["size"] < expected:
        level = DEGRADED if 2 * cluster["size"] >= expected else CRITICAL
        found.append((level, f"{cluster['size']} of {expected} expected nodes are here"))
    if cluster is not None and not cluster["settled"]:
        found.append((DEGRADED, "the nodes do not agree on who is in the cluster yet"))
    return found


def _of_children(made: Raw) -> list[tuple[str, str]]:
    found = []
    for status in ("quarantined", "waiting"):
        names = [row["name"] for row in made["distributed"] if row["status"] == status]
        if names:
            found.append((DEGRADED, f"{status}: {_names('distributed child', names)}"))
    unhealthy = [row["name"] for row in made["services"] if row.get("healthy") is False]
    if unhealthy:
        found.append((DEGRADED, f"unhealthy: {_names('service', sorted(unhealthy))}"))
    return found


def _of_work(made: Raw) -> list[tuple[str, str]]:
    full = [row for row in made["processes"] if row["mailbox"] >= FULL]
    if not full:
        return []
    first = full[0]
    name = first["known_as"] or first["name"] or first["class"]
    more = f", and {len(full) - 1} more" if len(full) > 1 else ""
    return [(DEGRADED, f"{first['mailbox']:,} messages wait for {name} {first['pid']}{more}")]


def _names(kind: str, names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    plural = "ren" if kind.endswith("child") else "s"
    return f"{kind}{plural if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
