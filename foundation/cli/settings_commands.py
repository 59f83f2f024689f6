"""``foundation config`` and ``foundation doctor``: how nodes find each other, and if they do."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts

from foundation.cli.arguments import Usage, read_cookie
from foundation.errors import CookieError, FoundationError

if TYPE_CHECKING:
    from foundation.cluster.doctor import Finding
    from foundation.cluster.modes import ResolvedCluster, Value

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


def config(
    *,
    strategy: str | None = None,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Print the settings of the cluster that a program started here gets, and where each is from.

    They come from the program (here: --strategy), from FOUNDATION_* in the environment, from
    foundation.toml or [tool.foundation] in pyproject.toml, in this order; then there are defaults.
    When one is wrong, those that are set and can be read are printed, then what is wrong, and the
    exit code is 1.

    Args:
        strategy: what a program would pass as cluster=: true, false, or a strategy.
        as_json: print JSON.
    """
    _check(strategy)
    try:
        described = _described(_resolve(strategy, cookie=False))
    except FoundationError as error:
        described = _readable(strategy, str(error))
        print(json.dumps(described) if as_json else "\n".join(_table(described)), flush=True)
        raise
    print(json.dumps(described) if as_json else "\n".join(_lines(described)))
    return 0


def _check(strategy: str | None) -> None:
    from foundation.cluster.modes import SettingError
    from foundation.cluster.modes.settings import strategy_named

    if strategy is None or strategy.strip().lower() in ("true", "false"):
        return
    try:
        strategy_named(strategy, "--strategy")
    except SettingError as error:
        raise Usage(str(error)) from None


def _resolve(cluster: str | None, cookie: bool) -> ResolvedCluster:
    from foundation.cluster.modes import resolve_here

    return resolve_here(_said(cluster), cookie=cookie)


def _said(cluster: str | None) -> Any:
    words = {"true": True, "false": False}
    return words.get(cluster.strip().lower(), cluster) if cluster is not None else None


def _readable(cluster: str | None, error: str) -> dict[str, Any]:
    """Describe what can be read where something is wrong."""
    from foundation.cluster.modes import readable_here

    cookie, wrong = _cookie()
    return {
        "mode": None,
        "strategy": None,
        "settings": {**_shown(readable_here(_said(cluster))), "cookie": cookie},
        "reasons": [],
        "warnings": wrong,
        "error": error,
    }


def _shown(values: Iterable[Value]) -> dict[str, Any]:
    return {value.key: {"value": value.shown, "source": value.source} for value in values}


def _described(resolved: ResolvedCluster) -> dict[str, Any]:
    cookie, wrong = _cookie()
    return {
        "mode": resolved.mode,
        "strategy": resolved.strategy,
        "settings": {**_shown(resolved.values), "cookie": cookie},
        "reasons": list(resolved.reasons),
        "warnings": [*resolved.warnings, *wrong],
    }


def _cookie() -> tuple[dict[str, Any], list[str]]:
    """Return the setting, and what is wrong with it."""
    from foundation.cluster.modes.settings import COOKIE, COOKIE_FILE
    from foundation.transport.cookie import cookie_path, find_cookie

    for name in (COOKIE, COOKIE_FILE):
        if os.environ.get(name):
            size = f"(secret, {len(os.environ[name])} bytes)"
            said = {"value": size if name == COOKIE else os.environ[name], "source": name}
            break
    else:
        said = {"value": f"generated for this user: {cookie_path()}", "source": "default"}
    try:
        find_cookie()
    except CookieError as error:
        return said, [str(error)]
    return said, []


def _lines(described: dict[str, Any]) -> list[str]:
    return [
        f"mode      {described['mode']}",
        f"strategy  {described['strategy'] or '-'}",
        "",
        *_table(described),
        "",
        "why:",
        *(f"  {reason}" for reason in described["reasons"]),
        *(f"warning: {text}" for text in described["warnings"]),
    ]


def _table(described: dict[str, Any]) -> list[str]:
    return [
        f"{'SETTING':<20}{'VALUE':<36}  FROM",
        *(
            f"{key:<20}{_text(setting['value']):<36}  {setting['source']}"
            for key, setting in described["settings"].items()
        ),
    ]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def doctor(
    *,
    strategy: str | None = None,
    cookie_file: Path | None = None,
    patience: float = 3.0,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Say why a cluster does not form: try each step, and say what to do.

    It takes the settings of `foundation config`; where nothing there asks for a cluster, those of
    a program that passes cluster=True. Ends with exit code 0 when all is well, else 1. Nothing is
    started, and the nodes that run are only asked.

    Args:
        strategy: what a program would pass as cluster=: true, false, or a strategy.
        cookie_file: a file with the shared secret, when it is not this user's.
        patience: seconds that each strategy may take to name somebody.
        as_json: print JSON.
    """
    if not patience > 0:
        raise Usage(f"--patience must be greater than 0, got {patience}")
    _check(strategy)
    findings = _examine(strategy, read_cookie(cookie_file), patience)
    healthy = not any(each.status == "problem" for each in findings)
    if as_json:
        found = [dataclasses.asdict(each) for each in findings]
        print(json.dumps({"healthy": healthy, "findings": found}))
    else:
        print("\n".join(_finding_lines(findings)))
    return 0 if healthy else 1


def _examine(cluster: str | None, cookie: bytes | None, patience: float) -> list[Finding]:
    import asyncio
    import logging

    from foundation.cluster.doctor import Finding, examine

    logging.getLogger("foundation").setLevel(logging.CRITICAL)  # the findings say it better
    try:
        resolved = _resolve(cluster, cookie is not None)
        assumed = not resolved.asked
        if assumed:
            resolved = _resolve("true", cookie is not None)
    except FoundationError as error:
        advice = "mend that setting; `foundation config` shows them all"
        return [Finding("settings", "problem", str(error), advice)]
    findings = asyncio.run(examine(resolved, cookie, patience))
    if assumed:
        text = "nothing here asks for a cluster; examined as for a program with cluster=True"
        findings.insert(0, Finding("settings", "ok", text))
    return findings


def _finding_lines(findings: list[Finding]) -> list[str]:
    lines = []
    for each in findings:
        lines.append(f"{MARKS[each.status]}  {each.check}: {each.text}")
        if each.advice:
            lines.append(f"{'':9}-> {each.advice}")
    problems, warnings = (
        sum(each.status == status for each in findings) for status in ("problem", "warning")
    )
    counted = [f"{problems} problem{'s' if problems != 1 else ''}" if problems else "no problem"]
    if warnings:
        counted.append(f"{warnings} warning{'s' if warnings != 1 else ''}")
    return [*lines, "", ", ".join(counted) if problems or warnings else "all is well"]


__all__ = ["config", "doctor"]
