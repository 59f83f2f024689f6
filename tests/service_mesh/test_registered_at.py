"""When an instance was registered: for people, by the clock of its host."""

from __future__ import annotations

from foundation import service_mesh
from foundation.cluster import registry as reg
from foundation.kernel.ops import current
from foundation.otp import call
from foundation.service_mesh import REGISTRY, HealthCheck, ServiceEntry
from tests.service_mesh.meshsim import find, mesh, start_worker


def test_an_instance_says_when_it_was_registered_by_the_clock_of_its_host() -> None:
    async def body() -> tuple[float, float, float]:
        wall = current().kernel.driver.wall
        before = wall()
        check = HealthCheck("ping", every=0.5, first_after=0.5, strikes=1)
        pid = await start_worker("thumbs", {"health_check": check})
        after = wall()
        await call(pid, ("well", False))
        found = service_mesh.discover("thumbs")[0]
        assert found.registered_at is not None
        return before, found.registered_at, after

    async def direct() -> float | None:
        await reg.register(REGISTRY, "direct", ServiceEntry())
        return service_mesh.discover("direct")[0].registered_at

    with mesh(19) as c:
        before, at, after = c.run("a", body)
        assert 0.0 < before <= at <= after
        c.advance(5.0)
        assert [info.registered_at for info in find(c, "b", "thumbs", healthy=False)] == [at]
        assert c.run("a", direct) is None
