"""Names of parametrized tests."""

from __future__ import annotations

import re


def plain(value: object) -> str:
    """Return ``ascii(value)``, shortened, and the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:60]
