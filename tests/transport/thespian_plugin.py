"""Points Thespian's own test suite at our base: ``pytest -p tests.transport.thespian_plugin``.

The suite names its base ``multiprocTCPBase``; a module of ours takes that name.
"""

from __future__ import annotations

import os
import sys
import types

import pytest

from foundation.transport.base import FoundationBase

os.environ.setdefault("FOUNDATION_COOKIE", "thespian-suite-cookie-0123456789")
# The module name must also work in processes that are spawned, not forked.
_module = types.ModuleType("thespian.system.multiprocTCPBase")


class ActorSystemBase(FoundationBase):
    """`FoundationBase` under the name that the suite looks for."""

    def __init__(self, system: object, logDefs: object = None) -> None:
        super().__init__(system, logDefs)
        system.capabilities["Thespian ActorSystem Name"] = "multiprocTCPBase"


_module.ActorSystemBase = ActorSystemBase
sys.modules["thespian.system.multiprocTCPBase"] = _module


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that the suite's own conftest would define."""
    parser.addoption("--unstable", action="store_true", default=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the cases that run on the TCP base."""
    keep = [item for item in items if "TCP" in item.nodeid]
    config.hook.pytest_deselected(items=[item for item in items if item not in keep])
    items[:] = keep
