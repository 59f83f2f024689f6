"""The distributed registry: processes of a whole cluster found by key.

List one under a supervisor of each node, before the servers that use it::

    DistributedRegistry.spec(name="accounts", keys="unique")

and use it from any process of any node::

    await Account.start_link(name=DistributedRegistry.via("accounts", 7))
    await call(DistributedRegistry.via("accounts", 7), "balance")

    token = await register("accounts", "audit")          # the fencing token of the claim
    [entry] = lookup("accounts", "audit")                # pid, value, token, node

*Reads* look into this host's own index and never wait. *Writes* are awaited: when ``register``
returns, all hosts of this node have the entry; others follow.

*Unique keys* are claimed at one node, the key's arbiter, which rendezvous hashing finds. Two
racers for a key: one wins, the other learns who. While the members of the cluster do not agree
on who is there, claims wait.

*A split.* Both sides go on, each for its own names. After it has healed, of two holders of one
key the one with the higher token survives (then the greater name of the node): every node comes
to the same without asking, and no clock is compared. The other one gets a ``NameConflict``, as
exit signal or as message. Names whose holder lives are lost in no other way.

*Deaths.* Entries of a process are gone from a host before anything there is told of its death.
Entries of a node that has gone go with it, and come back with it when it was only out of reach.
"""

from foundation.cluster.registry.functions import (
    count,
    derive,
    dispatch,
    keys,
    lookup,
    match,
    register,
    select,
    subscribe,
    token,
    unregister,
    unsubscribe,
    update_value,
    values,
    whereis,
)
from foundation.cluster.registry.server import DistributedRegistry
from foundation.cluster.registry.values import (
    Entry,
    NameConflict,
    Registered,
    Unregistered,
    Updated,
)
from foundation.cluster.registry.via import DistributedVia
from foundation.errors import ClaimTimeout, UnknownDistributedRegistry
from foundation.otp.registry_match import ANY

via = DistributedRegistry.via

__all__ = [
    "ANY",
    "ClaimTimeout",
    "DistributedRegistry",
    "DistributedVia",
    "Entry",
    "NameConflict",
    "Registered",
    "UnknownDistributedRegistry",
    "Unregistered",
    "Updated",
    "count",
    "derive",
    "dispatch",
    "keys",
    "lookup",
    "match",
    "register",
    "select",
    "subscribe",
    "token",
    "unregister",
    "unsubscribe",
    "update_value",
    "values",
    "via",
    "whereis",
]
