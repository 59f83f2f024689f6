"""Each setting of a cluster is checked where it is written down."""

from __future__ import annotations

import math
import pickle
import re
from types import MappingProxyType
from typing import Any

import pytest

import foundation
from foundation.cluster import ClusterConfig, Timing
from foundation.cluster.discovery import Loopback, StaticList
from foundation.errors import ClusterConfigError, FoundationError, NodeError

HUGE = 10**400  # an int that no float can hold


class NoDiscover:
    name = "half"

    async def start(self, me: Any, found: Any) -> None: ...

    async def close(self) -> None: ...


WRONG = [
    ("name", "", "name must be a non-empty string"),
    ("name", 5, "got 5"),
    ("name", b"shop", "got b'shop'"),
    ("name", "\ud800", "that UTF-8 can encode"),
    ("name", "x" * 1025, "at most 1024 characters"),
    ("bind", None, "bind must be an IPv4 address or a host name, as in '127.0.0.1', got None"),
    ("bind", "", "bind must be an IPv4 address"),
    ("bind", 7, "got 7"),
    ("bind", "::1", "only IPv4 is supported, got '::1'"),
    ("bind", "127.0.0.1:80", "without a port"),
    ("bind", "nonsense host", "a host name that has one, got 'nonsense host'"),
    ("bind", "10.1", "a host name that has one, got '10.1'"),
    ("bind", "300.1.1.1", "got '300.1.1.1'"),
    ("bind", "a\0b", "got 'a\\x00b'"),
    ("bind", "\ud800", "got '\\ud800'"),
    ("bind", "0.0.0.0", "needs advertise="),
    ("advertise", "", "advertise must be None, an IPv4 address"),
    ("advertise", 5, "got 5"),
    ("advertise", "::1", "only IPv4"),
    ("advertise", "a:1", "without a port"),
    ("advertise", "0.0.0.0", "nobody can connect"),
    ("advertise", "no host", "malformed host name"),
    ("port", -1, "port must be an int of 0 to 65535, got -1"),
    ("port", 65536, "got 65536"),
    ("port", True, "got True"),
    ("port", "7000", "got '7000'"),
    ("port", None, "got None"),
    ("strategies", Loopback(), "write strategies=(Loopback(...),), with the comma"),
    ("strategies", (Loopback,), "got the class Loopback; write Loopback(...)"),
    ("strategies", Loopback, "strategies must be None or a tuple of discovery strategies"),
    ("strategies", "loopback", "got 'loopback'"),
    ("strategies", 5, "got 5"),
    ("strategies", (Loopback(), None), "one has no name, start, discover, close, got None"),
    ("strategies", (NoDiscover(),), "one has no discover"),
    ("labels", None, 'labels must be a dict of strings, as in {"zone": "a"}, got None'),
    ("labels", [("a", "b")], "got [('a', 'b')]"),
    ("labels", {"gpus": 2}, "got {'gpus': 2}"),
    ("labels", {"a": "b", 2: "two"}, "got {2: 'two'}"),
    ("labels", {"a": "\ud800"}, "a dict of strings"),
    ("labels", {str(i): "" for i in range(65)}, "at most 64"),
    ("labels", {"a": "\u00e9" * 512}, "got 1 of 1025 bytes"),
    ("expected_size", 0, "expected_size must be None or an int of 1 or more, got 0"),
    ("expected_size", True, "got True"),
    ("expected_size", 3.0, "got 3.0"),
    ("accept_code", 1, "accept_code must be None, True or False, got 1"),
    ("accept_code", "yes", "got 'yes'"),
    ("drain_seconds", -1, "drain_seconds must be a finite number of 0 or more, got -1"),
    ("drain_seconds", math.nan, "got nan"),
    ("drain_seconds", math.inf, "got inf"),
    ("drain_seconds", HUGE, "..."),
    ("drain_seconds", None, "got None"),
    ("drain_seconds", True, "got True"),
    ("timing", 1.0, "timing must be a Timing, as in Timing(probe_interval=1.0), got 1.0"),
    ("timing", Timing, "timing must be a Timing"),
    ("timing", None, "got None"),
    ("unix", 1, "unix must be True or False, got 1"),
    ("unix", None, "got None"),
    ("seed", "x", "seed must be None or an int, got 'x'"),
    ("seed", True, "got True"),
    ("seed", 1.5, "got 1.5"),
]


@pytest.mark.parametrize(("field", "value", "text"), WRONG)
def test_a_wrong_setting_is_refused(field: str, value: Any, text: str) -> None:
    with pytest.raises(NodeError, match=re.escape(text)) as caught:
        ClusterConfig(**{field: value})
    message = str(caught.value)
    assert isinstance(caught.value, FoundationError)
    assert isinstance(caught.value, ClusterConfigError)
    assert caught.value.field == field or "needs advertise=" in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    assert message.startswith(f"cluster: {field}") or "needs advertise=" in message
    assert len(message) < 400


def test_every_setting_has_a_wrong_value_in_the_table() -> None:
    assert {field for field, _, _ in WRONG} == set(ClusterConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    "options",
    [
        {"bind": "localhost"},
        {"bind": "10.1.2.3"},
        {"bind": "0.0.0.0", "advertise": "web-1.example.com"},
        {"port": 65535},
        {"strategies": ()},
        {"strategies": (Loopback(), StaticList(["10.0.0.1:7000"]))},
        {"labels": {"zone": "a", "": ""}},
        {"labels": {str(i): "" for i in range(64)}},
        {"expected_size": 1, "accept_code": False, "drain_seconds": 0, "unix": False},
        {"seed": -(2**70), "timing": Timing(indirect_probes=1)},
    ],
)
def test_right_settings_are_taken_and_travel(options: dict[str, Any]) -> None:
    config = ClusterConfig(**options)
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_list_of_strategies_becomes_a_tuple_and_labels_are_copied() -> None:
    labels = {"zone": "a"}
    strategies = [Loopback()]
    config = ClusterConfig(strategies=strategies, labels=labels)  # type: ignore[arg-type]
    assert config.strategies == tuple(strategies)
    labels["zone"] = "b"
    assert config.labels == {"zone": "a"}
    assert ClusterConfig(labels=MappingProxyType({"a": "b"})).labels == {"a": "b"}


@pytest.mark.parametrize("field", list(Timing.__dataclass_fields__))
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, HUGE, True, "1", None])
def test_a_wrong_time_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Timing.{field} must be a finite number above 0"):
        Timing(**{field: value})


def test_times_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="indirect_probes must be a whole number"):
        Timing(indirect_probes=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="suspicion_max"):
        Timing(suspicion_min=2.0, suspicion_max=1.0)
    with pytest.raises(ValueError, match="takeover"):
        Timing(lease=2.0, takeover=2.0)


@pytest.mark.parametrize("name", [5, b"x", ["a"], "a/b"])
def test_a_node_whose_name_is_none_is_refused(name: Any) -> None:
    with pytest.raises(NodeError, match="name must be a non-empty string without '/'"):
        foundation.start(name=name, hosts=0)
