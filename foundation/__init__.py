"""OTP for Python: supervision trees, GenServers and registries on Thespian actors.

``start`` and ``run`` start a node with an application; everything else is in
``foundation.otp`` (for servers) and ``foundation.testing`` (for tests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.otp.application import Application, run, start
    from foundation.runtime.node import AsyncNode, Node

__all__ = ["Application", "AsyncNode", "Node", "__version__", "run", "start"]


def __getattr__(name: str) -> Any:
    if name in ("Application", "run", "start"):
        from foundation.otp import application

        return getattr(application, name)
    if name in ("AsyncNode", "Node"):
        from foundation.runtime import node

        return getattr(node, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("foundation-otp")
    raise AttributeError(f"module 'foundation' has no attribute {name!r}")
