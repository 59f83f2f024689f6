"""What is measured: names, units, targets, and which baselines stand beside each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import baselines, cluster, facade_overhead, facades, hosts, local
from benchmarks.harness import Effort
from benchmarks.transport import raw

Measure = Callable[[Effort], float]
MaybeMeasure = Callable[[Effort], float | None]


@dataclass(frozen=True)
class Benchmark:
    """One row of the table.

    Attributes:
        measure: returns the value.
        unit: of the value.
        baselines: what the others call it: label in the table -> key in ``BASELINES``. The
            ratio is that to the first.
        times: target: so many times the first baseline.
        least: target as it is, stated for a machine of two cores where Elixir does 770,000
            local calls a second.
        limit: the same where less is better, on any machine.
    """

    measure: Measure
    unit: str = "1/s"
    baselines: dict[str, str] = field(default_factory=dict)
    times: float | None = None
    least: float | None = None
    limit: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is better."""
        return self.unit == "1/s"

    def target(self, compared: dict[str, float]) -> float | None:
        """Return the value to reach."""
        wanted = [value for value in (self.limit, self.least) if value is not None]
        if self.times is not None and compared:
            wanted.append(self.times * next(iter(compared.values())))
        return max(wanted, default=None)


def _local(name: str, app: object = None) -> Measure:
    measure: Measure = local.in_process(getattr(local, name), app)
    return measure


def _hosts(name: str) -> Measure:
    measure: Measure = hosts.on_node(getattr(hosts, name))
    return measure


BENCHMARKS: dict[str, Benchmark] = {
    "local_call": Benchmark(
        _local("local_call"),
        baselines={"pykka": "pykka_ask", "xoscar": "xoscar_local", "elixir": "elixir_call"},
        times=20,
        least=250_000,
    ),
    "local_call_async": Benchmark(
        _local("local_call_async"),
        baselines={"pykka": "pykka_ask", "elixir": "elixir_relay"},
        least=60_000,
    ),
    "local_cast": Benchmark(
        _local("local_cast"),
        baselines={"pykka": "pykka_tell", "elixir": "elixir_cast"},
        least=1_000_000,
    ),
    "spawn": Benchmark(
        hosts.in_worker(local.spawn),
        baselines={
            "thespian": "thespian_start",
            "pykka": "pykka_start",
            "elixir": "elixir_start_child",
        },
        least=40_000,
    ),
    "memory_per_process": Benchmark(
        _local("memory_per_process"),
        unit="bytes",
        baselines={"elixir": "elixir_memory"},
        limit=3000,
    ),
    "cross_host_call": Benchmark(
        _hosts("cross_host_call"),
        baselines={"thespian": "thespian_roundtrip", "xoscar": "xoscar_cross"},
        times=4,
    ),
    "cross_host_call_50": Benchmark(
        _hosts("cross_host_call_50"),
        baselines={"thespian": "thespian_roundtrip", "xoscar": "xoscar_cross_50"},
        least=60_000,
    ),
    "embedded_call": Benchmark(
        hosts.embedded_call, baselines={"thespian": "thespian_ask"}, times=4
    ),
    "embedded_call_50": Benchmark(
        _hosts("embedded_call_50"), baselines={"thespian": "thespian_ask"}, least=40_000
    ),
    "registry_lookup": Benchmark(
        _local("registry_lookup"),
        baselines={"pykka": "pykka_lookup", "elixir": "elixir_lookup"},
        least=800_000,
    ),
    "restart_latency": Benchmark(_local("restart_latency"), unit="ms", limit=2),
    "host_kill_recovery": Benchmark(_hosts("host_kill_recovery"), unit="ms", limit=500),
    "node_call": Benchmark(
        cluster.on_cluster(cluster.node_call, 2),
        baselines={"thespian": "thespian_roundtrip"},
        least=9_000,
    ),
    "node_call_50": Benchmark(
        cluster.on_cluster(cluster.node_call_50, 2),
        baselines={"thespian": "thespian_roundtrip"},
        least=50_000,
    ),
    "cluster_form_3": Benchmark(cluster.form(3), unit="s", limit=1),
    "cluster_form_5": Benchmark(cluster.form(5), unit="s", limit=2),
    "cluster_register": Benchmark(
        cluster.on_cluster(cluster.cluster_register(1), app=cluster.App, expected_size=3),
        least=2_500,
    ),
    "cluster_register_50": Benchmark(
        cluster.on_cluster(cluster.cluster_register(50), app=cluster.App, expected_size=3)
    ),
    "cluster_lookup": Benchmark(
        cluster.on_cluster(cluster.cluster_lookup, app=cluster.App, expected_size=3),
        least=500_000,
    ),
    "cluster_start_child": Benchmark(
        cluster.on_cluster(cluster.cluster_start_child(1), app=cluster.App, expected_size=3),
        least=2_500,
    ),
    "cluster_start_child_50": Benchmark(
        cluster.on_cluster(cluster.cluster_start_child(50), app=cluster.App, expected_size=3)
    ),
    "failover_kill": Benchmark(cluster.failover_kill, unit="ms", limit=350),
    "failover_silent": Benchmark(
        cluster.on_cluster(cluster.failover_silent, app=cluster.App, expected_size=3),
        unit="s",
        limit=5,
    ),
    "pubsub_local": Benchmark(cluster.pubsub_local, least=700_000),
    "pubsub_cluster": Benchmark(cluster.on_cluster(cluster.pubsub_cluster)),
    "control_p99_under_bulk_ms": Benchmark(
        cluster.on_cluster(facades.control_p99_under_bulk, 2), unit="ms", limit=50
    ),
    "config_set": Benchmark(cluster.on_cluster(facades.config_set, expected_size=3)),
    "facade_overhead_percent": Benchmark(
        cluster.on_cluster(facade_overhead.facade_overhead, 1), unit="%", limit=5
    ),
    "membership_bytes": Benchmark(
        cluster.membership_bytes(50),
        unit="bytes/s",
        baselines={"3 nodes": "membership_bytes_3", "10 nodes": "membership_bytes_10"},
        times=1.5,
    ),
    "transport_roundtrip": Benchmark(
        raw("ours", "roundtrip"), baselines={"thespian": "thespian_roundtrip"}, times=4
    ),
    "transport_burst": Benchmark(
        raw("ours", "burst"), baselines={"thespian": "thespian_burst"}, times=50
    ),
}

BASELINES: dict[str, MaybeMeasure] = {
    "pykka_ask": baselines.pykka_ask,
    "pykka_tell": baselines.pykka_tell,
    "pykka_start": baselines.pykka_start,
    "pykka_lookup": baselines.pykka_lookup,
    "thespian_ask": baselines.thespian_ask,
    "thespian_start": baselines.thespian_start,
    "thespian_roundtrip": baselines.thespian_roundtrip,
    "thespian_burst": baselines.thespian_burst,
    "xoscar_local": baselines.xoscar_local,
    "xoscar_cross": baselines.xoscar_cross,
    "xoscar_cross_50": baselines.xoscar_cross_50,
    "membership_bytes_3": cluster.membership_bytes(3),
    "membership_bytes_10": cluster.membership_bytes(10),
    **{
        f"elixir_{what}": baselines.elixir(what)
        for what in ("call", "relay", "cast", "start_child", "lookup", "memory")
    },
}
