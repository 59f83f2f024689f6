"""What may be set: declarations, validators, plain data; and what is refused at the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from foundation import config, explain
from foundation.config import ConfigUnavailable, InvalidValue, UnknownPath
from foundation.config.messages import Declare, Get, Set, SetClusterWide
from foundation.config.plain import MAX_VALUE
from foundation.errors import Unsendable
from foundation.facade import Failed
from foundation.kernel.ops import call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.config.confsim import PATH, cluster, form, seen, server


@dataclass(frozen=True)
class Custom:
    """No plain data."""

    x: int = 1


def run(*calls: Callable[[], Any], host: str = "w1") -> list[Any]:
    """Make *calls* in one process of a new cluster; return the results and the errors."""

    async def body() -> list[Any]:
        found = []
        for each in calls:
            try:
                result = each()
                found.append(await result if inspect.isawaitable(result) else result)
            except Exception as error:
                found.append(error)
        return found

    with cluster(1, nodes=1, expected=None, workers=2) as c:
        form(c)
        found: list[Any] = c.run("a", body, host=host)
        return found


@pytest.mark.parametrize("host", ["control", "w1", "w2"])
def test_a_path_has_the_local_value_before_the_shared_one_before_the_default(host: str) -> None:
    found = run(
        lambda: config.get(PATH),
        lambda: config.set_cluster_wide(PATH, 2),
        lambda: config.get(("limits", "rate")),
        lambda: config.version(PATH),
        lambda: config.set(PATH, 3),
        lambda: config.get(PATH),
        lambda: config.version(PATH),
        lambda: config.get(PATH, consistency="quorum"),
        lambda: config.reset(PATH),
        lambda: config.get(PATH),
        lambda: config.reset_cluster_wide(PATH),
        lambda: config.get(PATH),
        host=host,
    )
    first, second = config.ConfigVersion(1, "a"), config.ConfigVersion(2, "a")
    assert found == [100, first, 2, first, None, 3, None, 2, None, 2, second, 100]


def test_reset_without_a_path_undoes_all_local_values() -> None:
    found = run(
        lambda: config.declare("x", default=1),
        lambda: config.set("x", 2),
        lambda: config.set(PATH, 3),
        lambda: config.reset(),
        lambda: config.get("x"),
        lambda: config.get(PATH),
    )
    assert found == [None, None, None, None, 1, 100]


def test_unknown_paths_are_errors_that_name_their_neighbours() -> None:
    found = run(
        lambda: config.get("limits.rat"),
        lambda: config.get("limits.rat", 5),
        lambda: config.set("limits.rat", 5),
        lambda: config.set_cluster_wide("limits.rat", 5),
        lambda: config.validate("limits.rat", 5),
        lambda: config.version("limits.rat"),
        lambda: config.get("limits.rat", consistency="quorum"),
        lambda: config.get("limits.rat", 6, consistency="quorum"),
        lambda: config.paths(),
    )
    assert found[1] == 5
    assert found[7] == 6
    assert found[8] == (PATH,)
    for error in (*found[:1], *found[2:7]):
        assert isinstance(error, UnknownPath)
        assert "did you mean 'limits.rate'?" in str(error)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("7", "declared as int"),
        (True, "declared as int"),
        (0, "validator _positive returned False"),
        (Custom(), "values are plain data"),
        (None, "declared as int"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_sent(value: Any, why: str) -> None:
    def tell() -> list[Any]:
        with explain() as plan:
            for check in (config.set, config.set_cluster_wide, config.validate):
                try:
                    coroutine = check(PATH, value)
                    if inspect.isawaitable(coroutine):
                        coroutine.send(None)  # type: ignore[attr-defined]
                except InvalidValue as error:
                    errors.append(str(error))
        return [step for step in plan if step.function is call]

    errors: list[str] = []
    assert run(tell) == [[]]
    assert len(errors) == 3
    assert all(why in error for error in errors)


def test_validators_may_raise_and_close_over_things_and_run_where_a_value_is_set() -> None:
    allowed = ["red", "blue"]

    def known(colour: str) -> None:
        if colour not in allowed:
            raise ValueError(f"there is no {colour}")

    async def declare() -> None:
        await config.declare("colour", str, "red", validator=known)

    async def paint(colour: str) -> Any:
        try:
            await config.set("colour", colour)
        except InvalidValue as error:
            return str(error)
        return config.get("colour")

    with cluster(1, nodes=1, expected=None, workers=2) as c:
        form(c)
        c.run("a", declare, host="w1")
        for host in ("w1", "w2", "control"):
            assert c.run("a", paint, "blue", host=host) == "blue"
            assert "there is no green" in c.run("a", paint, "green", host=host)


def test_types_are_exact_but_for_int_as_float() -> None:
    found = run(
        lambda: config.declare("f", float, 1.5),
        lambda: config.set("f", 2),
        lambda: config.get("f"),
        lambda: config.declare("either", (int, str), "x"),
        lambda: config.set("either", 4),
        lambda: config.set("either", 4.0),
        lambda: config.declare("any"),
        lambda: config.get("any"),
        lambda: config.set("any", {"a": [1, (2, None)], "b": {b"x"}}),
        lambda: config.get("any"),
    )
    assert [type(error) for error in found].count(InvalidValue) == 1
    assert "int or str" in str(found[5])
    assert found[9] == {"a": [1, (2, None)], "b": {b"x"}}


def test_what_get_returns_is_the_readers_own() -> None:
    async def body() -> Any:
        await config.declare("list", list, [1])
        config.get("list").append(2)
        return config.get("list")

    assert run(body) == [[1]]


@pytest.mark.parametrize(
    "path", ["", "a..b", "a b", "a.*", "a/b", ("a", ""), (), tuple("a" * 17), "x" * 101]
)
def test_a_bad_path_is_refused(path: Any) -> None:
    found = run(
        lambda: config.get(path),
        lambda: config.set(path, 1),
        lambda: config.set_cluster_wide(path, 1),
        lambda: config.declare(path),
        lambda: config.version(path),
        lambda: call("foundation.config", SetClusterWide(path, 1)),
    )
    assert all(isinstance(error, ValueError) for error in found[:5])
    assert isinstance(found[5], Failed)
    assert isinstance(found[5].error, ValueError)


def test_wrong_arguments_are_refused_and_the_server_lives_on() -> None:
    deep: Any = 1
    for _ in range(9):
        deep = [deep]
    calls: list[tuple[type[Exception], Callable[[], Any]]] = [
        (TypeError, lambda: config.get(7)),  # type: ignore[call-overload]
        (ValueError, lambda: config.get(PATH, consistency="strong")),  # type: ignore[call-overload]
        (ValueError, lambda: config.set_cluster_wide(PATH, 1, quorum="all")),
        (ValueError, lambda: config.set_cluster_wide(PATH, 1, timeout=0)),
        (ValueError, lambda: config.set_cluster_wide(PATH, 1, timeout=float("nan"))),
        (TypeError, lambda: config.set_cluster_wide(PATH, 1, timeout="5")),  # type: ignore[arg-type]
        (TypeError, lambda: config.get(PATH, consistency="quorum", timeout=None)),  # type: ignore[call-overload]
        (TypeError, lambda: config.declare("x", Custom)),
        (TypeError, lambda: config.declare("x", validator=5)),  # type: ignore[arg-type]
        (InvalidValue, lambda: config.declare("x", int, "1")),
        (InvalidValue, lambda: config.declare("x", int, -1, validator=lambda v: v > 0)),
        (InvalidValue, lambda: config.declare("x", default="x" * MAX_VALUE)),
        (InvalidValue, lambda: config.declare("x", default=deep)),
        (InvalidValue, lambda: config.declare("x", default="\ud800")),
        (Unsendable, lambda: config.declare("x", validator=(i for i in ()).__next__)),
    ]
    found = run(*[call for _, call in calls], lambda: config.get(PATH), lambda: config.paths())
    assert [type(e) for e in found[:-2]] == [kind for kind, _ in calls]
    assert found[-2:] == [100, (PATH,)]


def test_the_server_checks_what_is_sent_to_it_directly() -> None:
    ask = lambda message: lambda: call("foundation.config", message)  # noqa: E731
    found = run(
        ask(Set(PATH, "7")),
        ask(Set("unknown", 7)),
        ask(SetClusterWide(PATH, Custom())),
        ask(SetClusterWide(PATH, 7, timeout=-1)),
        ask(Declare("x", ("int",), "1")),
        ask(Declare("x", (), None, "no bytes")),  # type: ignore[arg-type]
        ask(Get("unknown")),
        ask(Get(PATH)),
    )
    kinds = [type(answer.error) for answer in found[:-1]]
    assert kinds == [
        InvalidValue,
        UnknownPath,
        InvalidValue,
        ValueError,
        InvalidValue,
        TypeError,
        UnknownPath,
    ]
    assert found[-1] == 100


def test_without_the_server_the_error_says_what_to_do() -> None:
    async def body() -> list[Any]:
        found = []
        for each in (config.get, config.version):
            with pytest.raises(ConfigUnavailable, match="facades=True"):
                each(PATH)
        with pytest.raises(ConfigUnavailable, match="facades=True"):
            await config.status()
        return found

    with ClusterSimulation(1, nodes=1) as c:
        c.form()
        c.run("a", body)


def test_declared_again_keeps_the_value_and_takes_the_new_default() -> None:
    found = run(
        lambda: config.declare(PATH, int, 5),
        lambda: config.get(PATH),
        lambda: config.set_cluster_wide(PATH, 0),
        lambda: config.declare(PATH, int, 6),
        lambda: config.get(PATH),
    )
    assert (found[1], found[4]) == (5, 0)


def test_a_value_of_a_path_that_is_declared_elsewhere_only_can_be_read() -> None:
    async def elsewhere() -> None:
        await config.declare("other", int, 1)
        await config.set_cluster_wide("other", 2)

    with cluster(1, nodes=2, expected=2) as c:
        form(c)
        c.run("a", elsewhere)
        c.until(lambda: ("other",) in server(c, "b").settings.cluster)
        assert set(seen(c, "other").values()) == {2}


def test_status_says_who_takes_part() -> None:
    with cluster(1, nodes=3) as c:
        form(c)

        async def body() -> Any:
            await config.set(PATH, 9)
            return await config.status()

        found = c.run("b", body)
        assert (found.node, found.available, found.members) == ("b", True, ("a", "b", "c"))
        assert (found.present, found.majority, found.paths) == (("a", "b", "c"), 2, 1)
        assert found.local == (PATH,)
