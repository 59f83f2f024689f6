"""The values that the service mesh stores."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from foundation.errors import CodecError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.isolation import isolate
from foundation.kernel.values import Pid
from foundation.service_mesh import (
    HealthCheck,
    Metadata,
    NoInstance,
    NotInService,
    ServiceEntry,
    ServiceInfo,
    ServiceTimeout,
)

PID = Pid("a/w1", 1, 2)


@dataclass(frozen=True)
class Zone:
    """A value of a user's class."""

    name: str


def test_metadata_is_a_mapping_that_nobody_can_change() -> None:
    source = {"zone": Zone("eu"), "tags": ("a", "b")}
    metadata = Metadata(source)
    source["zone"] = Zone("us")
    assert metadata == {"zone": Zone("eu"), "tags": ("a", "b")}
    assert dict(metadata) == {"zone": Zone("eu"), "tags": ("a", "b")}
    assert hash(metadata) == hash(Metadata(dict(reversed(list(metadata.items())))))
    with pytest.raises(TypeError):
        metadata["zone"] = 1  # type: ignore[index]
    assert isolate(metadata) is metadata


@pytest.mark.parametrize(
    "copy", [lambda x: loads(dumps(x)), lambda x: pickle.loads(pickle.dumps(x))]
)
def test_values_arrive_as_they_were(copy: Any) -> None:
    entry = ServiceEntry("i", ("gpu",), {"zone": Zone("eu")}, False, 7)
    info = ServiceInfo.of("s", PID, entry)
    assert copy(entry) == entry
    assert copy(info) == info
    assert type(copy(info).metadata) is Metadata
    assert isolate(info) is info


def test_metadata_is_opened_only_where_somebody_looks_into_it() -> None:
    sealed = loads(dumps(Metadata({"zone": Zone("eu")})))
    assert sealed._items is None
    broken = Metadata.sealed(b"\xc1")  # as of a class that is unknown here
    assert loads(dumps(broken))._data == b"\xc1"
    assert not broken.has({"zone": 1})
    assert "cannot be read here" in repr(broken)
    with pytest.raises(CodecError):
        broken["zone"]


def test_metadata_has_what_all_of_the_wanted_items_are_among() -> None:
    metadata = Metadata({"zone": "eu", "size": 3})
    assert metadata.has({})
    assert metadata.has({"zone": "eu"})
    assert metadata.has({"zone": "eu", "size": 3})
    assert not metadata.has({"zone": "us"})
    assert not metadata.has({"zone": "eu", "colour": None})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([("a", 1)], "must be a mapping"),
        ({1: 2}, "strings as keys"),
        ({"tags": ["a"]}, "immutable values"),
        ({"inner": {"a": 1}}, "immutable values"),
    ],
)
def test_other_metadata_are_refused(wrong: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Metadata(wrong)
    with pytest.raises(TypeError, match=why):
        ServiceEntry(metadata=wrong)


@pytest.mark.parametrize("wrong", ["gpu", 7, (7,), None])
def test_capabilities_are_several_strings(wrong: Any) -> None:
    with pytest.raises(TypeError, match="capabilities"):
        ServiceEntry(capabilities=wrong)


def test_capabilities_are_kept_once_and_in_order() -> None:
    assert ServiceEntry(capabilities=["b", "a", "b"]).capabilities == ("b", "a")  # type: ignore[arg-type]


def test_an_instance_without_a_name_is_called_by_its_pid() -> None:
    assert ServiceInfo.of("s", PID, ServiceEntry()).instance == "a/w1.1.2"
    assert ServiceInfo.of("s", PID, ServiceEntry("x")).instance == "x"


@pytest.mark.parametrize(
    "wrong",
    [{"every": 0}, {"first_after": -1}, {"timeout": None}, {"timeout": True}, {"strikes": 0}],
)
def test_wrong_health_checks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="HealthCheck: "):
        HealthCheck("ping", **wrong)


@pytest.mark.parametrize(
    "error",
    [NoInstance("s", 1, 2), ServiceTimeout("s", 2, 5.0, 1), NotInService("s", PID)],
)
def test_errors_travel(error: Any) -> None:
    copy = loads(dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("healthy", [None, 1, "yes"])
def test_an_entry_is_healthy_or_not_and_nothing_else(healthy: Any) -> None:
    with pytest.raises(TypeError, match="healthy must be True or False"):
        ServiceEntry(healthy=healthy)
    with pytest.raises(TypeError, match="order must be an int"):
        ServiceEntry(order="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="registered_at must be a float"):
        ServiceEntry(registered_at=1)
