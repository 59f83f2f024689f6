"""The process manager's server: the functions of the package for those who send messages."""

from __future__ import annotations

from typing import Any

from foundation.facade import FacadeServer
from foundation.otp.child_spec import ChildSpec
from foundation.process_manager import functions, starting
from foundation.process_manager.values import SERVER


class ProcessManager(FacadeServer):
    """Answers the messages of ``messages.py``; one on each node, in a worker host.

    The functions of the package are here, too: ``ProcessManager.start_singleton(Scheduler)``.
    """

    start_singleton = staticmethod(starting.start_singleton)
    start_replicated = staticmethod(starting.start_replicated)
    start_partitioned = staticmethod(starting.start_partitioned)
    lookup = staticmethod(functions.lookup)
    whereis = staticmethod(functions.lookup)
    wait_for = staticmethod(functions.wait_for)
    state = staticmethod(functions.state)
    watch = staticmethod(functions.watch)
    stop = staticmethod(functions.stop)
    migrate = staticmethod(functions.migrate)
    list = staticmethod(functions.list_processes)
    via = staticmethod(functions.via)

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the server of a node."""
        return super().spec(*args, **{"name": SERVER, "host": "worker", **options})
