"""Being told at once that a peer's process is gone.

A killed process closes its connections; the kernel tells us within a millisecond. This is how
the layers above learn of a death without relying on ``ChildActorExited``.

Limits: only peers with an open connection are noticed (exchange heartbeats, or set
``idle_close=None``), and a machine that vanishes silently takes about 20 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from foundation.transport.config import TransportConfig
from foundation.transport.engine import Engine


def _engine_of(actor: Any) -> Engine | None:
    transport = getattr(getattr(actor, "_myRef", None), "transport", None)
    return transport if isinstance(transport, Engine) else None


def transport_config(actor: Any) -> TransportConfig | None:
    """Return the settings of the transport that *actor* runs on; None on a stock base."""
    engine = _engine_of(actor)
    return None if engine is None else engine.config


def keep_connections(actor: Any) -> None:
    """Do not close connections of *actor* that are idle: their loss tells of a death."""
    engine = _engine_of(actor)
    if engine is not None and engine.config.idle_close is not None:
        engine.config = dataclasses.replace(engine.config, idle_close=None)


def drop_peer(actor: Any, address: Any) -> None:
    """Give up the connections of *actor* with *address*: what is sent next dials anew."""
    engine = _engine_of(actor)
    if engine is not None:
        engine.drop(address)


def watch_peer_loss(actor: Any, callback: Callable[[Any], None]) -> bool:
    """Call *callback* with the `ActorAddress` of each peer whose connection broke.

    It runs as a callback of the actor's loop, outside ``receiveMessage``; ``actor.send`` works
    in it. A connection that ends with a goodbye (idle) is no loss; a refused dial is one.

    Args:
        actor: the Thespian actor itself (``self``), from its first message on.
        callback: must not raise.

    Returns:
        False when the actor does not run on this transport; rely on heartbeats then.
    """
    engine = _engine_of(actor)
    if engine is None:
        return False
    engine.lost_callbacks.append(callback)
    return True


def unwatch_peer_loss(actor: Any, callback: Callable[[Any], None]) -> None:
    """Undo `watch_peer_loss`."""
    engine = _engine_of(actor)
    if engine is not None and callback in engine.lost_callbacks:
        engine.lost_callbacks.remove(callback)
