"""The pytest plugin: active as soon as ``foundation-otp`` is installed.

Fixtures:
    foundation_run: ``foundation_run(body, *args)`` runs a test's body as a process, on each
        driver (see ``foundation.testing.drivers``), and fails the test on leaks.
    simulation: a ``Simulation`` with the session's seed.

Options:
    --foundation-seed=N: the seed of simulations; ``random`` draws one and prints it.
    --foundation-drivers=A,B: the drivers of ``foundation_run``; by default all.

Marker:
    ``@pytest.mark.foundation_drivers("simulator")``: run a test on these drivers only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from foundation.testing.drivers import Runner
    from foundation.testing.processes import SharedNode
    from foundation.testing.simulator import Simulation

_SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("foundation")
    group.addoption(
        "--foundation-seed",
        default="0",
        metavar="N|random",
        help="seed of the simulations of foundation.testing",
    )
    group.addoption(
        "--foundation-drivers",
        default="",
        metavar="A,B",
        help="drivers of foundation_run: simulator, interpreter, processes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the options; add the marker."""
    config.addinivalue_line(
        "markers", "foundation_drivers(*names): run this test on these drivers only"
    )
    text = config.getoption("--foundation-seed")
    try:
        seed = random.SystemRandom().randrange(2**32) if text == "random" else int(text)
    except ValueError:
        raise pytest.UsageError(
            f"--foundation-seed must be an integer or 'random', got {text!r}"
        ) from None
    config.stash[_SEED] = seed


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print a seed that is not the usual one."""
    seed = config.stash[_SEED]
    return f"foundation: --foundation-seed={seed}" if seed else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use ``foundation_run`` once on each driver."""
    if "foundation_run" not in metafunc.fixturenames:
        return
    from foundation.testing.drivers import DRIVERS

    option = metafunc.config.getoption("--foundation-drivers")
    asked = [name for name in option.split(",") if name] or list(DRIVERS)
    unknown = [name for name in asked if name not in DRIVERS]
    if unknown:
        raise pytest.UsageError(
            f"--foundation-drivers must be of {', '.join(DRIVERS)}; got {unknown[0]!r}"
        )
    for marker in metafunc.definition.iter_markers("foundation_drivers"):
        asked = [name for name in asked if name in marker.args]
    params = [
        pytest.param(name, marks=pytest.mark.real) if name == "processes" else name
        for name in asked
    ]
    metafunc.parametrize("foundation_run", params, indirect=True)


@pytest.fixture(scope="session")
def _foundation_node(pytestconfig: pytest.Config) -> Iterator[SharedNode]:
    from foundation.testing.processes import SharedNode

    shared = SharedNode(str(pytestconfig.rootpath))
    yield shared
    shared.close()


@pytest.fixture
def foundation_run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Run bodies as processes: ``foundation_run(body, *args)``; see ``drivers.Runner``."""
    from foundation.testing.system_leaks import SystemState, system_leaks

    runner = _make_runner(request)
    before = SystemState.now()
    yield runner
    runner.close()
    left = system_leaks(before)
    assert not left, "the test left behind:\n  " + "\n  ".join(left)


def _make_runner(request: pytest.FixtureRequest) -> Runner:
    from foundation.testing import drivers

    if request.param == "simulator":
        return drivers.SimulatorRunner(request.config.stash[_SEED])
    if request.param == "interpreter":
        return drivers.InterpreterRunner()
    from foundation.testing.processes import ProcessesRunner

    return ProcessesRunner(request.getfixturevalue("_foundation_node"))


@pytest.fixture
def foundation_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this session."""
    return request.config.stash[_SEED]


@pytest.fixture
def simulation(foundation_seed: int) -> Iterator[Simulation]:
    """Return a simulation of one host; make your own ``Simulation`` for more."""
    from foundation.testing.simulator import Simulation

    with Simulation(foundation_seed) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Say the seed in the report of a failure."""
    report = yield
    if report.failed and "foundation_run" in getattr(item, "fixturenames", ()):
        report.sections.append(("foundation", f"seed={item.config.stash[_SEED]}"))
    return report
