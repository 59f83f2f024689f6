"""What ``foundation cluster`` prints, from what a node says of its cluster."""

from __future__ import annotations

from typing import Any

from foundation.observer.text import lost_lines


def cluster_lines(cluster: dict[str, Any]) -> list[str]:
    """Return the members of a cluster as a table, and who was lost lately."""
    agreed = "all agree" if cluster["settled"] else "not all agree yet"
    lines = [
        f"cluster {cluster['cluster']!r} as node {cluster['node']!r} sees it: "
        f"{len(cluster['members'])} members, {agreed}",
        f"{'NODE':<20}{'STATE':<11}{'ADDRESS':<24}{'HOSTS':>6}{'HEARD':>9}  LABELS",
    ]
    for member in cluster["members"]:
        state = "draining" if member["draining"] else member["state"]
        labels = ", ".join(f"{k}={v}" for k, v in member["labels"].items())
        lines.append(
            f"{member['name']:<20.19}{state:<11}{member['address']:<24}{member['hosts']:>6}"
            f"{member['heard_seconds_ago']:>7.1f} s  {labels or '-'}"
        )
    return lines + lost_lines(cluster["lost"])
