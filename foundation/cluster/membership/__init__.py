"""Who is in the cluster: SWIM with Lifeguard, as a state machine without I/O.

`Swim` (``swim.py``) is the machine; its driver feeds it with messages and the time, sends what
it finds in ``outbox`` and tells others what it finds in ``events``.
"""

from foundation.cluster.membership.records import Record
from foundation.cluster.membership.swim import Swim

__all__ = ["Record", "Swim"]
