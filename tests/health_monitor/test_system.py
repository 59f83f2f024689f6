"""What the operating system says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foundation.health_monitor import system
from foundation.health_monitor.system import CpuTimes, parse_meminfo, parse_stat

STAT = "cpu  10 0 20 60 10 0 0 0 5 5\ncpu0 10 0 20 60 10 0 0 0 0 0\nintr 5\n"
MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n"


def test_waiting_for_disks_is_not_work_and_guests_are_not_counted_twice() -> None:
    assert parse_stat(STAT) == CpuTimes(30.0, 100.0)
    assert parse_stat("intr 1\n") is None


def test_use_of_processors_is_between_two_readings() -> None:
    before, after = CpuTimes(30.0, 100.0), CpuTimes(80.0, 200.0)
    assert after.percent_since(before) == 50.0
    assert after.percent_since(None) is None
    assert after.percent_since(after) is None


def test_memory_in_use_is_what_cannot_be_had() -> None:
    assert parse_meminfo(MEMINFO) == 75.0
    assert parse_meminfo("MemTotal: 1000 kB\n") is None
    assert parse_meminfo("") is None


@pytest.mark.skipif(not Path(system.STAT).exists(), reason="there is no /proc here")
def test_this_machine_can_be_read() -> None:
    times, memory = system.cpu_times(), system.memory_percent()
    assert times is not None
    assert 0 < times.busy < times.total
    assert memory is not None
    assert 0 < memory < 100
    assert system.cores() >= 1


def test_without_proc_psutil_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setattr(system, "STAT", "/nowhere")
    monkeypatch.setattr(system, "MEMINFO", "/nowhere")
    times, memory = system.cpu_times(), system.memory_percent()
    assert times is not None
    assert times.total > 0
    assert memory is not None
    assert 0 < memory < 100


def test_without_either_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "STAT", "/nowhere")
    monkeypatch.setattr(system, "MEMINFO", "/nowhere")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert system.cpu_times() is None
    assert system.memory_percent() is None
