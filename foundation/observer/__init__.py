"""Seeing a cluster: ``foundation top`` and ``foundation dashboard``.

One look at one node shows all of them (``foundation/runtime/overview.py``); what facades say is
asked of the node's ``Observer``. ``picture`` makes of that what people and programs are shown::

    async with Watch(directory.find("shop")) as watch:
        picture = await watch.look()          # plain data, as `foundation top --json` prints
    print("\\n".join(text.lines(picture)))

What a package of one's own has to say is a part: ``foundation.observer.add("queues", function)``
in a worker host of each node.
"""

from __future__ import annotations

from foundation.observer.messages import SERVER, Parts
from foundation.observer.parts import Absent, add
from foundation.observer.picture import picture
from foundation.observer.server import Observer
from foundation.observer.watch import Watch
from foundation.otp.child_spec import ChildSpec


def specs() -> list[ChildSpec]:
    """Return what a node needs for this: its observer."""
    return [Observer.spec()]


__all__ = ["SERVER", "Absent", "Observer", "Parts", "Watch", "add", "picture", "specs"]
