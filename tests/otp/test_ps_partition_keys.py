"""What may be a key of partitions, and that it means the same in every interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from foundation.otp import partition
from foundation.otp.partition_key import MAX_DEPTH, partition_index

SCRIPT = """
    from dataclasses import dataclass
    from enum import Enum, Flag, IntEnum
    from uuid import UUID
    from foundation.kernel.codec import dumps, loads
    from foundation.otp.partition_key import partition_index

    class Colour(Enum):
        RED = 1
        GREEN = 2

    class Right(Flag):
        READ = 1
        WRITE = 2

    @dataclass(frozen=True)
    class User:
        id: int
        colour: Colour = Colour.RED

    class Outer:
        @dataclass(frozen=True)
        class Inner:
            name: str

    text = "".join(["a", "b", "c"])
    KEYS = [
        "ann", b"bob", 7, -7, 2.5, 1e300, float("inf"), None, True, "caf\\xe9", "\\ud800", 2**80,
        ("a", 1), ("abc", "abc"), ("abc", text), ("\\ud800", 1), UUID(int=5), Colour.GREEN,
        Right.READ | Right.WRITE, User(7), User(7.0, Colour.GREEN), Outer.Inner("x"),
        ((User(1), Colour.RED), None),
    ]

    def numbers():
        there = [partition_index(loads(dumps(key)), 10**9) for key in KEYS]
        here = [partition_index(key, 10**9) for key in KEYS]
        assert here == there  # as in another host, where classes come by value
        return here

    if __name__ == "__main__":
        print(numbers())
"""


def test_a_key_leads_to_the_same_partition_in_every_interpreter(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    imported = "import script; print(script.numbers())"
    answers = {
        _output([*program], tmp_path, seed)
        for seed in ("1", "2")
        for program in (["script.py"], ["-c", imported])
    }
    (answer,) = answers
    numbers = eval(answer)
    assert numbers[13] == numbers[14]  # texts that are one object, or two
    assert len(set(numbers)) == len(numbers) - 2  # -7 goes where 7 does


def _output(program: list[str], where: Path, seed: str) -> str:
    path = os.pathsep.join([str(where), str(Path.cwd())])
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
    command = [sys.executable, *program]
    return subprocess.run(
        command, cwd=where, env=env, capture_output=True, check=True, text=True
    ).stdout


class Loose:
    """Compared by identity."""


@dataclass
class Changeable:
    """Not frozen."""

    id: int


@dataclass(frozen=True)
class Own:
    """Compared in its own way."""

    id: int

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@dataclass(frozen=True)
class Holder:
    """Has a part."""

    part: Any


class Shouted(str):
    """Compared in its own way."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "key",
    [
        frozenset({"a"}),
        {"a"},
        ["a"],
        {"a": 1},
        object(),
        Loose(),
        Changeable(1),
        Own(1),
        Shouted("A"),
        Decimal(1),
        Fraction(1),
        1j,
        bytearray(b"a"),
        int,
    ],
    ids=lambda key: type(key).__name__,
)
def test_what_may_mean_something_else_elsewhere_is_refused(key: Any) -> None:
    for whole in (key, ("a", key), Holder(key)):
        with pytest.raises(TypeError, match="a key of partitions must be a str, bytes, int"):
            partition_index(whole, 8)
        with pytest.raises(TypeError, match="a key of partitions must be"):
            partition("parts", whole)


def test_nan_and_bottomless_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        partition_index(("a", float("nan")), 8)
    key: Any = "a"
    for _ in range(MAX_DEPTH):
        key = (key,)
    assert 0 <= partition_index(key, 8) < 8
    with pytest.raises(ValueError, match="nested more than"):
        partition_index((key,), 8)


def test_members_of_enumerations_and_dataclasses_differ_by_class_name_and_value() -> None:
    class One(Enum):
        A = 1
        B = 2

    class Two(Enum):
        A = 1

    numbers = [partition_index(key, 10**9) for key in (One.A, One.B, Two.A, "A", 1)]
    assert len(set(numbers)) == 5
