"""All functions of the package, for those who look for them here."""

from foundation.service_mesh.calls import breaker_states, call, route
from foundation.service_mesh.discovery import (
    discover,
    discover_services,
    list_services,
    wait_for,
)
from foundation.service_mesh.registration import ServiceHandle, deregister, register
from foundation.service_mesh.target import ServiceTarget, via

__all__ = [
    "ServiceHandle",
    "ServiceTarget",
    "breaker_states",
    "call",
    "deregister",
    "discover",
    "discover_services",
    "list_services",
    "register",
    "route",
    "via",
    "wait_for",
]
