"""What offers and uses services inside real nodes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from foundation import service_mesh
from foundation.cluster import pubsub
from foundation.kernel.values import Pid
from foundation.otp import GenServer, Task, call, me, receive
from foundation.service_mesh import HealthCheck, ServiceDown, ServiceInfo

NAME = "thumbs"
HEARD: list[Any] = []  # by the program of this node


class Thumbs(GenServer):
    """An instance; unhealthy while the file named in ``MESH_SICK`` holds its node's name."""

    async def init(self, sick: str) -> None:
        """Register."""
        from tests.service_mesh.real_zone import Zone

        zone = Zone(me().host.partition("/")[0])
        check = HealthCheck(Check(sick), every=0.1, first_after=0.1, timeout=2.0)
        await service_mesh.register(NAME, metadata={"zone": zone}, health_check=check)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Say who serves."""
        return me(), os.getpid(), request


class Check:
    """Whether a file does not name the node; also checks that it does not run in a control host."""

    def __init__(self, sick: str) -> None:
        self.sick = sick

    def __call__(self, pid: Pid) -> bool:
        """Check."""
        assert me().host == pid.host
        path = Path(self.sick)
        return not path.exists() or path.read_text() != pid.host.partition("/")[0]


def app() -> Any:
    """Two instances on each node."""
    sick = os.environ["XDG_RUNTIME_DIR"] + "/sick"
    return [Thumbs.spec(sick, id=i, host="spread") for i in range(2)]


async def wait(count: int) -> list[ServiceInfo]:
    """Wait for instances."""
    return await service_mesh.wait_for(NAME, 20.0, count)


async def find(zone: str | None, healthy: bool | None = True) -> list[ServiceInfo]:
    """Find instances in a zone."""
    from tests.service_mesh.real_zone import Zone

    metadata = None if zone is None else {"zone": Zone(zone)}
    return service_mesh.discover_services(NAME, metadata=metadata, healthy=healthy)


async def call_many(times: int, strategy: str) -> Counter[Pid]:
    """Call; count who answered."""
    found: Counter[Pid] = Counter()
    for i in range(times):
        pid, _, request = await service_mesh.call(NAME, i, 10.0, strategy)
        assert request == i
        found[pid] += 1
    return found


async def listen() -> None:
    """Keep the events of this node."""
    await pubsub.subscribe(service_mesh.EVENTS)
    HEARD.append("listening")
    while True:
        HEARD.append(await receive())


def heard(node: Any) -> list[Any]:
    """Return what this program has heard."""
    return list(HEARD)


def downs(node: Any) -> list[Pid]:
    """Return whose ends this program has heard of."""
    return [each.service.pid for each in HEARD if isinstance(each, ServiceDown)]


async def known_to_control() -> bool:
    """Say whether this node's control host has imported the class in the metadata."""
    text = "'tests.service_mesh.real_zone' in __import__('sys').modules"
    return await Task.run(eval, text, host="control")  # type: ignore[no-any-return]


async def elsewhere(node: str) -> Any:
    """Ask the server of another node."""
    server = (service_mesh.SERVER, node)
    return await call(server, service_mesh.CallService(NAME, "hello", strategy="local_first"))
