"""The runners of one host, and how its agent commands them."""

from __future__ import annotations

from typing import Any

from foundation.cluster.host import ClusterHost
from foundation.cluster.supervisor.packing import Unpacker
from foundation.cluster.supervisor.runner import Runner


class RunnerHost:
    """See the module docstring.

    Args:
        cluster: of this host, which is not the control host.
    """

    def __init__(self, cluster: ClusterHost) -> None:
        self._cluster = cluster
        self._unpacker = Unpacker(cluster.node, cluster.config.accepts_code)
        self._runners: dict[str, Runner] = {}
        cluster.kernel.remote.handlers["sup_do"] = self._on_do

    def _on_do(self, host: str, name: str, what: str, args: Any) -> None:
        runner = self._runners.get(name)
        if runner is None:
            runner = self._runners[name] = Runner(
                self._cluster.kernel,
                name,
                self._unpacker,
                lambda *report: self._cluster.say("sup_report", name, *report),
            )
        runner.command(what, *args)
