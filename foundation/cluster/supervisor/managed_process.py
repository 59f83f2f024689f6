"""The process of a distributed child: a server that may take over the state of its former self.

Order of a take-over: the name is claimed, ``init`` runs, ``import_state(state)`` runs, then the
start is acknowledged and messages are handled. So nobody sees the server without its state,
and the name is never held by two.
"""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from foundation.kernel.codec import loads
from foundation.kernel.peer import register_kind
from foundation.otp.results import Fail, Ignore, Stop
from foundation.otp.server_process import ServerProcess

STATE = "imported_state"  # extra: the state, encoded
CHILD = "distributed_child"  # extra: (supervisor, key, generation)


class ManagedProcess(ServerProcess):
    """Runs a child that has state to import."""

    __slots__ = ("_result",)

    kind = "managed"

    def _initialised(self, result: Any) -> None:
        state = self.get_extra(STATE)
        if state is None or type(result) in (Ignore, Fail, Stop):
            super()._initialised(result)
            return
        self.set_extra(STATE, None)
        self._result = result
        self.callback = "import_state"
        try:
            imported = self.server.import_state(loads(state))
        except BaseException as error:
            self.crashed(error)
            return
        if type(imported) is CoroutineType:
            self.start_coroutine(imported)
        else:
            super()._initialised(result)

    def finished(self, value: Any) -> None:
        """An ``async def`` callback has returned."""
        if self.callback == "import_state" and self.stopping is None:
            super()._initialised(self._result)
        else:
            super().finished(value)


register_kind(ManagedProcess)
