"""The service mesh: processes offer services under a name, others find and call them.

    # in a process that serves, on any node
    handle = await service_mesh.register(
        "thumbnails", capabilities=("webp",), metadata={"zone": "eu"}, health_check="ping"
    )

    # in any process of any node
    services = service_mesh.discover_services("thumbnails", capabilities=("webp",))
    image = await service_mesh.call("thumbnails", Scale(photo, 200))
    service_mesh.route("thumbnails", Warm(photo), strategy="local_first")
    await service_mesh.wait_for("thumbnails", count=2)

*An instance* is an entry of the distributed registry ``"foundation.services"``: the name of the
service is the key, the process that serves the holder, a ``ServiceEntry`` the value. There is
nothing else: who registers such an entry with ``foundation.cluster.registry`` is found, called
and announced like all others. Entries end with their processes, hosts and nodes.

*Health.* The host of an instance makes its health checks: every 30 s, first after 5 s; after
three failures in a row the instance is unhealthy, and no node's ``call``, ``route`` or
``discover_services`` (unless asked) uses it, until a check passes.

*Circuit breakers.* Five calls in a row that fail have the calling host pass over that instance
for 60 s; then three trial calls decide. Each host has breakers of its own.

*Announcements.* ``ServiceUp``, ``ServiceDown`` and ``ServiceHealthChanged`` are published on the
topic ``"foundation:events"``. Each node announces to its own subscribers what it sees itself, so
each of them hears of each change once. That a node has gone, or is out of reach, its
subscribers elsewhere hear as ``ServiceDown`` of its instances; when it comes back, as
``ServiceUp``. When they hear of it, discovery in their host already shows it.

*A split.* Both sides go on with the instances they reach.
"""

from __future__ import annotations

from foundation.cluster.registry import DistributedRegistry
from foundation.otp.child_spec import ChildSpec
from foundation.service_mesh.announcer import Announcer
from foundation.service_mesh.breaker import Breaker, BreakerLimits
from foundation.service_mesh.errors import NoInstance, NotInService, ServiceTimeout
from foundation.service_mesh.functions import (
    ServiceHandle,
    ServiceTarget,
    breaker_states,
    call,
    deregister,
    discover,
    discover_services,
    list_services,
    register,
    route,
    via,
    wait_for,
)
from foundation.service_mesh.messages import (
    CallService,
    Deregister,
    DiscoverServices,
    ListServices,
    Register,
    Route,
    WaitFor,
)
from foundation.service_mesh.metadata import Metadata
from foundation.service_mesh.server import ServiceMesh
from foundation.service_mesh.values import (
    EVENTS,
    REGISTRY,
    HealthCheck,
    ServiceDown,
    ServiceEntry,
    ServiceHealthChanged,
    ServiceInfo,
    ServiceUp,
    is_service,
)

SERVER = "foundation.service_mesh"


def specs() -> list[ChildSpec]:
    """Return the parts of a node: the registry, the announcer, and the server."""
    return [
        DistributedRegistry.spec(name=REGISTRY, keys="duplicate"),
        Announcer.spec(name=f"{SERVER}.announcer", host="control"),
        ServiceMesh.spec(name=SERVER, host="worker"),
    ]


__all__ = [
    "EVENTS",
    "REGISTRY",
    "SERVER",
    "Breaker",
    "BreakerLimits",
    "CallService",
    "Deregister",
    "DiscoverServices",
    "HealthCheck",
    "ListServices",
    "Metadata",
    "NoInstance",
    "NotInService",
    "Register",
    "Route",
    "ServiceDown",
    "ServiceEntry",
    "ServiceHandle",
    "ServiceHealthChanged",
    "ServiceInfo",
    "ServiceMesh",
    "ServiceTarget",
    "ServiceTimeout",
    "ServiceUp",
    "WaitFor",
    "breaker_states",
    "call",
    "deregister",
    "discover",
    "discover_services",
    "is_service",
    "list_services",
    "register",
    "route",
    "specs",
    "via",
    "wait_for",
]
