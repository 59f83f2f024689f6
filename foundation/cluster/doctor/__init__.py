"""Why a cluster does not form: each step that forming takes, tried once, with what to do.

Nothing is started and nobody becomes a member. ``foundation doctor`` prints it.
"""

from __future__ import annotations

from foundation.cluster.doctor.examine import examine
from foundation.cluster.doctor.findings import Finding

__all__ = ["Finding", "examine"]
