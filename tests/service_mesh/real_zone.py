"""A class of values of which only the hosts of services know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Zone:
    """Where an instance is."""

    name: str
