"""Real nodes are started as the tests of the command line start them."""

from __future__ import annotations

from tests.cli.conftest import cli

__all__ = ["cli"]
