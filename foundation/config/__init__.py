"""Configuration: of one node, and of the whole cluster by majority.

    await config.declare("limits.rate", int, 100, validator=lambda rate: rate > 0)
    config.get("limits.rate")                                # 100
    await config.set_cluster_wide("limits.rate", 250)        # on all nodes, or on none
    await config.set("limits.rate", 10)                      # on this node alone, above that
    await config.reset("limits.rate")

From outside the node's processes all of these run in one of them, the plain functions, too:
``node.run(config.get, "limits.rate")``, ``node.run(config.paths)``,
``node.run(config.set_cluster_wide, "limits.rate", 250)``.

Precedence: what was ``set`` on a node alone, before what was set cluster-wide, before the default
that was declared. ``get`` is a look into a table of its host; a subscriber is sent
``ConfigChanged`` whenever its answer changes. Only declared paths can be set. Values are plain
data; a validator runs in the process that sets.

*Cluster-wide* writes are acknowledged by a majority of the configuration servers, one for each
node, and have versions. A minority refuses: ``QuorumNotReached`` says that nothing was applied. Who
joins gets what a majority holds before it takes part. Writes of one path that come at once, from
whichever nodes, are carried out one after another. See ``set_cluster_wide``, and ``protocol/`` for
the protocol (CASPaxos).

A server that ends is started again by its supervisor. Its host has kept what was declared, what
was set on the node, and which cluster-wide values it knew: all of it is there again.

What it does not do:

- Everything is in memory. Values survive the loss of any minority of the nodes, at once or one
  after another; when a majority is gone at once, so is what only they had accepted. Read at
  start-up what must outlive that, and ``set_cluster_wide`` it. What was set on a node alone, and
  what was declared there, ends with that node.
- Where an even ``ClusterConfig.expected_size`` is expected, half of the nodes are no minority: when
  the servers of half of them end at once (of two nodes: one), nothing is decided until those of
  the other half are started again, too. Expect an odd size.
- Without ``ClusterConfig.expected_size`` a majority is one of the nodes that are there, so both
  sides of a split set values, and after the heal those with the higher number of writes stay.
  ``expected_size`` must not be below the number of nodes that run at once.
- A node that has just started shows defaults until its server has joined the others (a fraction of
  a second; ``(await status()).available``). ``get(..., consistency="quorum")`` waits for that.
- Each path is by itself: there is no write of several paths at once.
- There is no fair queue for a path: nodes that write it at once get their turns by chance. Where
  many nodes do so without a pause and a message takes tens of milliseconds, one may not get its
  turn before its timeout.
- A validator is asked on the node where a value is set, not on those that take it over.
- Nodes that may connect may set: there is no authorisation.

Modules: ``functions.py`` what processes call, ``messages.py`` the same as messages,
``server.py`` the server, ``settings.py`` precedence, ``declarations.py`` and ``plain.py`` what is
allowed, ``protocol/`` how nodes agree.
"""

from __future__ import annotations

from foundation.config.errors import (
    ConfigError,
    ConfigUnavailable,
    ConfigUncertain,
    InvalidValue,
    QuorumNotReached,
    UnknownPath,
)
from foundation.config.functions import (
    declare,
    get,
    paths,
    reset,
    reset_cluster_wide,
    set,
    set_cluster_wide,
    status,
    subscribe,
    unsubscribe,
    validate,
    version,
)
from foundation.config.names import SERVER, TABLE
from foundation.config.server import Config, Parts
from foundation.config.values import ConfigChanged, ConfigStatus, ConfigVersion
from foundation.otp.child_spec import ChildSpec


def specs() -> list[ChildSpec]:
    """Return what a node needs for this: a supervisor of a registry and a server."""
    return [Parts.spec(id=SERVER, host="control")]


__all__ = [
    "SERVER",
    "TABLE",
    "Config",
    "ConfigChanged",
    "ConfigError",
    "ConfigStatus",
    "ConfigUnavailable",
    "ConfigUncertain",
    "ConfigVersion",
    "InvalidValue",
    "QuorumNotReached",
    "UnknownPath",
    "declare",
    "get",
    "paths",
    "reset",
    "reset_cluster_wide",
    "set",
    "set_cluster_wide",
    "specs",
    "status",
    "subscribe",
    "unsubscribe",
    "validate",
    "version",
]
