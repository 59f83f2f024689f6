"""Keys of partitions: equal ones lead to equal partitions, and other things are refused."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from foundation.otp.partition_key import partition_index, plain

SIZE = 2**61 - 1  # so large that different keys hardly ever meet

Pair = namedtuple("Pair", ["left", "right"])


class Level(IntEnum):
    """Members that equal numbers."""

    LOW = 1
    HIGH = 7


class Word(StrEnum):
    """Members that equal text."""

    A = "a"


class Colour(Enum):
    """Members that equal nothing else."""

    RED = 1
    BLUE = "a"


@dataclass(frozen=True)
class User:
    """Compared by its fields."""

    id: Any
    zone: Any = None


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 7.0, 2.0**60, "a", b"a", *Level, *Word, *Colour]),
    st.text(st.characters(), max_size=3),
    st.binary(max_size=3),
    st.builds(UUID, int=st.integers(0, 3)),
)
keys = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Pair, inner, inner),
        st.builds(User, inner, inner),
    ),
    max_leaves=4,
)


def twin(key: Any, flip: Any) -> Any:
    """Return another value that Python calls equal to *key*; *flip* chooses among several."""
    if isinstance(key, tuple):
        parts = [twin(part, flip) for part in key]
        return Pair(*parts) if len(parts) == 2 and flip() else tuple(parts)
    if isinstance(key, User):
        return User(twin(key.id, flip), twin(key.zone, flip))
    if type(key) is str:
        return Word(key) if key == "a" and flip() else "".join(list(key))
    if type(key) is UUID:
        return UUID(bytes=key.bytes)
    if isinstance(key, (int, float)):
        found = [other for other in (True, False, *Level) if other == key]
        found += [float(key)] if abs(key) < 2**1000 and float(key) == key else []
        found += [int(key)] if key == key // 1 and abs(key) < 2**1000 else []
        return found[flip() % len(found)] if found else key
    return key


@given(keys, st.data())
def test_equal_keys_lead_to_equal_partitions(key: Any, data: st.DataObject) -> None:
    other = twin(key, lambda: data.draw(st.integers(0, 3)))
    assert other == key
    assert partition_index(other, SIZE) == partition_index(key, SIZE)
    assert plain(other) == plain(key)


@given(keys, keys)
def test_keys_are_equal_only_where_partitions_are(left: Any, right: Any) -> None:
    if left == right:
        assert partition_index(left, SIZE) == partition_index(right, SIZE)


@given(keys)
def test_a_key_made_plain_is_the_same_key(key: Any) -> None:
    assert plain(plain(key)) == plain(key)
    assert partition_index(plain(key), SIZE) == partition_index(key, SIZE)


@given(st.lists(st.text(), min_size=200, max_size=200, unique=True))
def test_different_texts_are_spread(texts: list[str]) -> None:
    assert len({partition_index(text, 4) for text in texts}) == 4
