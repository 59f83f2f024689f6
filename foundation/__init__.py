"""OTP for Python: supervision trees, GenServers and registries on Thespian actors.

``start`` and ``run`` start a node with an application; everything else is in
``foundation.otp`` (for servers) and ``foundation.testing`` (for tests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation import errors

if TYPE_CHECKING:
    from foundation.entry import run, start
    from foundation.errors import (
        AlreadyStarted,
        CallExit,
        CallTimeout,
        Exit,
        FoundationError,
        NodeError,
        NoProc,
        StartError,
    )
    from foundation.facade import explain
    from foundation.otp.application import Application
    from foundation.runtime.node import AsyncNode, Node

__all__ = [
    "AlreadyStarted",
    "Application",
    "AsyncNode",
    "CallExit",
    "CallTimeout",
    "Exit",
    "FoundationError",
    "NoProc",
    "Node",
    "NodeError",
    "StartError",
    "__version__",
    "explain",
    "run",
    "start",
]


def __getattr__(name: str) -> Any:
    if name in ("Application", "run", "start"):
        from foundation import entry

        return getattr(entry, name)
    if name in ("AsyncNode", "Node"):
        from foundation.runtime import node

        return getattr(node, name)
    if name == "explain":
        from foundation.facade import explain

        return explain
    if name == "__version__":
        from importlib.metadata import version

        return version("foundation-otp")
    error = getattr(errors, name, None)
    if isinstance(error, type) and issubclass(error, BaseException):
        return error
    raise AttributeError(f"module 'foundation' has no attribute {name!r}")
