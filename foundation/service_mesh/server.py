"""The facade as a server."""

from __future__ import annotations

from foundation.facade import FacadeServer
from foundation.service_mesh import functions


class ServiceMesh(FacadeServer):
    """Answers the messages of ``messages.py``; registered as ``"foundation.service_mesh"``.

    It lives in a worker host, since it runs functions of users. The functions are also here:
    ``ServiceMesh.discover_services("thumbnails")``.
    """

    register = staticmethod(functions.register)
    deregister = staticmethod(functions.deregister)
    discover = staticmethod(functions.discover)
    discover_services = staticmethod(functions.discover_services)
    list_services = staticmethod(functions.list_services)
    wait_for = staticmethod(functions.wait_for)
    call = staticmethod(functions.call)
    route = staticmethod(functions.route)
    via = staticmethod(functions.via)
    breaker_states = staticmethod(functions.breaker_states)
