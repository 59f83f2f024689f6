"""The metrics as OpenTelemetry instruments; needs ``foundation-otp[otel]``.

    exporter = OpenTelemetry(get_meter("my-app"))
    exporter.update(await cluster_health())      # now and then: in a task, or in a process

Each family of metrics becomes an observable instrument, named ``foundation.<family>``, that shows
what ``update`` was last given. ``report(meter_name)`` is a process body that updates by itself::

    Task.spec(report)                            # under a supervisor, on one node
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from typing import Any

from foundation.errors import CallExit, ClusterError
from foundation.health_monitor.families import Family, families
from foundation.health_monitor.functions import cluster_health
from foundation.health_monitor.values import (
    ClusterMetrics,
    HealthReport,
)

try:
    api: Any = importlib.import_module("opentelemetry.metrics")
except ImportError as error:  # an extra
    raise ImportError(
        "foundation.health_monitor.otel needs OpenTelemetry: pip install foundation-otp[otel]"
    ) from error


class OpenTelemetry:
    """Shows the metrics as instruments of a meter.

    Args:
        meter: of the OpenTelemetry API.
    """

    def __init__(self, meter: Any) -> None:
        self._meter = meter
        self._families: dict[str, Family] = {}
        self._instruments: dict[str, Any] = {}

    def update(self, source: ClusterMetrics | HealthReport) -> None:
        """Show *source* from now on; what it could not measure is not shown.

        It may be called in another thread than the one that exports.
        """
        found = {family.name: family for family in families(source)}
        self._families = found  # at once: an export sees the old ones or the new ones
        for name, family in found.items():
            if name not in self._instruments:
                self._instruments[name] = self._create(family)

    def _create(self, family: Family) -> Any:
        def observe(options: Any) -> Iterable[Any]:
            shown = self._families.get(family.name)
            for labels, value in shown.samples if shown is not None else ():
                yield api.Observation(value, labels)

        counts = family.kind == "counter"
        meter = self._meter
        create = meter.create_observable_counter if counts else meter.create_observable_gauge
        return create(f"foundation.{family.name}", [observe], description=family.about)


async def report(meter_name: str = "foundation", interval: float = 30.0) -> None:
    """Update instruments of the global meter provider every *interval* seconds, for ever.

    Run it in a process of one node: what it shows is of the whole cluster.

    Args:
        meter_name: of the meter.
        interval: seconds.
    """
    exporter = OpenTelemetry(api.get_meter(meter_name))
    while True:
        try:
            exporter.update(await cluster_health())
        except (CallExit, ClusterError, TimeoutError):
            pass  # the cluster is changing: the next time
        await asyncio.sleep(interval)
