"""How the functions ask: the table of their host, and the server of their node."""

from __future__ import annotations

from typing import Any

from foundation.config.declarations import check_kind, check_validator, unknown
from foundation.config.errors import ConfigUnavailable, ConfigUncertain
from foundation.config.messages import TIMEOUT, GetQuorum, seconds
from foundation.config.names import SERVER, TABLE
from foundation.config.paths import dotted, parse
from foundation.config.plain import encode
from foundation.errors import CallExit, UnknownRegistry
from foundation.facade import Failed, send_through
from foundation.otp import call
from foundation.otp.registry import meta

GRACE = 6.0  # seconds beyond its timeout that the server is given to answer


def check(path: Any, value: Any) -> None:
    """Raise unless *path* may be set to *value*."""
    name = dotted(parse(path))
    found = look(name)
    if found is None:
        raise unknown(name, declared())
    kinds, validator = found
    encode(name, value)
    check_kind(name, value, kinds)
    check_validator(name, value, validator)


def declared() -> tuple[str, ...]:
    """Return the paths that are declared on this node.

    Raises:
        ConfigUnavailable: no server has shown them (yet): it is being started.
    """
    found: tuple[str, ...] | None = look(None)
    if found is None:
        raise _unavailable()
    return found


def look(key: Any) -> Any:
    """Return what the table of this host has under *key*, or None."""
    try:
        return meta(TABLE, key)
    except UnknownRegistry:
        raise _unavailable() from None


def _unavailable() -> ConfigUnavailable:
    return ConfigUnavailable(
        f"no server {SERVER!r} runs on this node (now); start the node with "
        "foundation.start(..., cluster=True), or facades=True for a node alone"
    )


async def ask(message: Any, path: Any, timeout: float | None = None) -> Any:
    """Have the server of this node serve *message*.

    Raises:
        ConfigUncertain: a write, of which *timeout* is given, may have been carried out.
    """
    limit = TIMEOUT if timeout is None else seconds(timeout) + GRACE
    try:
        answer = await send_through(call, SERVER, message, timeout=limit)
    except CallExit as error:
        if error.definite:
            raise _unavailable() from error
        if timeout is None or isinstance(message, GetQuorum):
            raise
        raise ConfigUncertain(dotted(parse(path)), f"the server failed: {error}") from error
    if isinstance(answer, Failed):
        raise answer.error
    return answer
