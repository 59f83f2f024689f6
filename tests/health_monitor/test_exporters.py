"""The metrics as text for Prometheus, by the rules of the format, and as OpenTelemetry."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from foundation.health_monitor import ClusterMetrics, ServiceMetrics, exposition, judge
from foundation.health_monitor.families import Family, families
from foundation.health_monitor.prometheus import _lines
from tests.health_monitor.made import metrics, report

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)$")
KINDS = ("counter", "gauge", "summary", "histogram", "untyped")


def busy() -> ClusterMetrics:
    return metrics(
        report(
            "a",
            latencies=(100.0, 200.0),
            propagation=(5000.0,),
            broadcasts={'odd "topic"\\with\nlines': 60.0},
            registry_entries={"r": {"a": 2}},
        ),
        report("b", load_average=None, cpu_percent=None),
        services=(ServiceMetrics("s", 3, 2),),
        discovery_us=12.5,
    )


def parsed(text: str) -> dict[str, list[tuple[str, float]]]:
    """Parse the text strictly: return the samples by family."""
    assert text.endswith("\n")
    found: dict[str, list[tuple[str, float]]] = {}
    kinds: dict[str, str] = {}
    family = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in found, f"family {family} twice"
            found[family] = []
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in KINDS
            assert not found[name]
            kinds[name] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == family
            sample = (labels or "", float(value))
            assert sample[0] not in [known for known, _ in found[name]], f"{line} twice"
            found[name].append(sample)
    assert set(kinds) == set(found)
    assert all(found.values())
    return found


def test_the_text_is_as_the_format_asks() -> None:
    found = parsed(exposition(busy()))
    assert found["foundation_cluster_nodes"] == [("", 2.0)]
    assert found["foundation_services_total"] == [("", 3.0)]
    assert found["foundation_service_discovery_duration_microseconds"] == [("", 12.5)]
    assert found["foundation_message_latency_microseconds"] == [
        ('quantile="0.5"', 100.0),
        ('quantile="0.99"', 200.0),
    ]


def test_the_names_of_the_design_are_there() -> None:
    found = parsed(exposition(busy()))
    for name in (
        "cluster_nodes",
        "processes_total",
        "services_total",
        "messages_total",
        "message_latency_microseconds",
        "service_discovery_duration_microseconds",
        "health_score",
    ):
        assert f"foundation_{name}" in found


def counters(*nodes: str, silent: tuple[str, ...] = ()) -> dict[str, list[tuple[str, float]]]:
    totals = {"messages_taken": 50.0, "hogs": 2.0}
    reports = [report(node, nodes, totals=totals) for node in nodes if node not in silent]
    found = parsed(exposition(metrics(*reports, view=nodes)))
    return {name: found[f"foundation_{name}"] for name in ("messages_total", "hogs_total")}


def test_no_counter_falls_when_a_node_leaves_or_does_not_answer() -> None:
    both = {'node="a"': 50.0, 'node="b"': 50.0}
    assert dict(counters("a", "b")["messages_total"]) == both
    assert dict(counters("a", "b")["hogs_total"]) == {'node="a"': 2.0, 'node="b"': 2.0}
    for later in (counters("a"), counters("a", "b", silent=("b",))):  # it is missing, not less
        assert later["messages_total"] == [('node="a"', 50.0)]
        assert later["hogs_total"] == [('node="a"', 2.0)]


def test_odd_labels_are_escaped() -> None:
    assert r'topic="odd \"topic\"\\with\nlines"' in exposition(busy())


def test_what_could_not_be_measured_is_left_out() -> None:
    found = parsed(exposition(busy()))
    assert found["foundation_node_cpu_percent"] == [('node="a"', 10.0)]
    quiet = parsed(exposition(metrics(report("a"))))
    assert "foundation_message_latency_microseconds" not in quiet
    assert "foundation_service_discovery_duration_microseconds" not in quiet


def test_a_judgement_can_be_given_as_well() -> None:
    report_ = judge(replace(busy(), duplicates=("x",)))
    found = parsed(exposition(report_))
    assert found["foundation_health_status"] == [
        ('status="healthy"', 0.0),
        ('status="degraded"', 0.0),
        ('status="critical"', 1.0),
    ]
    assert found["foundation_health_score"] == [("", report_.score)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.5, "0.5"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers_are_written_as_the_format_asks(value: float, text: str) -> None:
    lines = _lines(Family("x", "gauge", "A\\b\nc.", (({}, value),)))
    assert lines == [
        r"# HELP foundation_x A\\b\nc.",
        "# TYPE foundation_x gauge",
        f"foundation_x {text}",
    ]


def test_prometheus_own_parser_reads_the_same() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(exposition(busy()))
        for sample in family.samples
    }
    ours = {
        (f"foundation_{family.name}", tuple(sorted(labels.items()))): float(value)
        for family in families(busy())
        for labels, value in family.samples
    }
    assert theirs == ours


def test_opentelemetry_shows_what_update_was_last_given() -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    from foundation.health_monitor.otel import OpenTelemetry

    reader = export.InMemoryMetricReader()
    provider = sdk.MeterProvider([reader])
    exporter = OpenTelemetry(provider.get_meter("test"))
    exporter.update(busy())
    shown = _shown(reader)
    assert shown["foundation.cluster_nodes"] == {(): 2}
    assert shown["foundation.node_up"] == {(("node", "a"),): 1.0, (("node", "b"),): 1.0}
    assert set(shown) == {f"foundation.{family.name}" for family in families(busy())}
    exporter.update(metrics(report("a"), report("b"), report("c")))
    later = _shown(reader)
    assert later["foundation.cluster_nodes"] == {(): 3}
    assert "foundation.message_latency_microseconds" not in later  # it is not known any more
    provider.shutdown()


def _shown(reader: Any) -> dict[str, dict[Any, float]]:
    data = reader.get_metrics_data()
    return {
        metric.name: {
            tuple(sorted(point.attributes.items())): point.value
            for point in metric.data.data_points
        }
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.data.data_points
    }


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n    import foundation.health_monitor.otel\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "foundation-otp[otel]" in done.stdout
