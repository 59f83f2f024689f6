"""What the facade's processes are called."""

from __future__ import annotations

SERVER = "foundation.config"
TABLE = "foundation.config.values"  # a registry: its metadata are what the paths have
