"""Names of parametrized tests."""

from __future__ import annotations

import re


def plain(value: object) -> str:
    """Return ``ascii(value)``, shortened, and the same in every process: no addresses or hashes."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__} of {', '.join(sorted(map(plain, value)))}"
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))[:60]
