"""Opens a Thespian system on the stock base ``multiprocTCPBase``, on loopback only."""

from __future__ import annotations

import os
import socket
from typing import Any


def open_stock_system(port: int) -> Any:
    """Open a system whose admin is at *port*; 0 takes a free one."""
    from thespian.actors import ActorSystem

    os.environ["THESPIAN_BASE_IPADDR"] = "127.0.0.1"
    _listen_on_loopback()
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)


def _listen_on_loopback() -> None:
    """Bind addresses that are told to peers as loopback on loopback.

    Stock binds every port on all interfaces, whatever address it tells, and unpickles what
    arrives there. The processes of the system are forked and so inherit this.
    """
    from thespian.system.transport.IPBase import IPActorAddress

    def bind_args(address: Any) -> list[Any]:
        host, port = address.sockname[:2]
        return [(host, port) if host.startswith("127.") else address.bindname]

    IPActorAddress.bindArgs = property(bind_args)
