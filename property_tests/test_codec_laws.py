"""Laws of the codec and of isolation, over generated messages and generated damage."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import CodecError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.isolation import ATOMS, isolate
from foundation.kernel.values import Alias, Crash, Down, ExitMsg, Pid, Ref, Shutdown, Timeout

numbers = st.integers(min_value=0, max_value=2**64 - 1)
pids = st.builds(Pid, st.text(max_size=8), numbers, numbers)
refs = st.builds(Ref, st.text(max_size=8), numbers, numbers)
_atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**200), max_value=2**200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    pids,
    refs,
    st.builds(Alias, pids, numbers),
    st.just(Timeout()),
    st.builds(Crash, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)),
)


def _briefly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return *strategy* with a short repr; Hypothesis warns of long ones, and is slow."""

    @st.composite
    def some(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return some()


atoms = _briefly(_atoms)


def _tuples_and_the_like(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(parts, max_size=4).map(tuple),
        st.frozensets(parts, max_size=4),
        st.builds(Shutdown, parts),
        st.builds(ExitMsg, pids, parts),
        st.builds(Down, refs, st.one_of(pids, st.text(max_size=5)), parts),
    )


hashables = _briefly(st.recursive(atoms, _tuples_and_the_like, max_leaves=8))


def _containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(parts, max_size=4),
        st.lists(parts, max_size=4).map(tuple),
        st.dictionaries(hashables, parts, max_size=4),
        st.sets(hashables, max_size=4),
        st.builds(Shutdown, parts),
    )


messages = st.recursive(
    st.one_of(hashables, st.binary(max_size=300).map(bytearray)), _containers, max_leaves=12
)


def shape(value: Any) -> Any:
    """Return *value* with the exact type of each part, so that ``==`` tells 1 from True."""
    kind = type(value)
    if kind is dict:
        return (kind, [(shape(key), shape(item)) for key, item in value.items()])
    if kind in (set, frozenset):
        return (kind, sorted(repr(shape(item)) for item in value))
    if isinstance(value, (tuple, list, deque)):
        return (kind, [shape(item) for item in value])
    if kind in (Shutdown, ExitMsg, Down, Crash):
        return (kind, [shape(getattr(value, name)) for name in kind.__slots__])
    return (kind, repr(value))


@given(messages)
def test_what_arrives_is_what_was_sent_in_value_and_type(message: Any) -> None:
    arrived = loads(dumps(message), allow_pickle=False)
    assert arrived == message
    assert shape(arrived) == shape(message)


@given(messages, st.data())
def test_no_prefix_of_a_message_is_a_message(message: Any, data: st.DataObject) -> None:
    packed = dumps(message)
    cut = data.draw(st.integers(min_value=0, max_value=len(packed) - 1))
    try:
        loads(packed[:cut])
    except CodecError:
        return
    raise AssertionError("a truncated message was accepted")


@given(messages, st.data())
def test_a_damaged_message_raises_codec_error_or_nothing(
    message: Any, data: st.DataObject
) -> None:
    packed = bytearray(dumps(message))
    for _ in range(data.draw(st.integers(min_value=1, max_value=4))):
        at = data.draw(st.integers(min_value=0, max_value=len(packed) - 1))
        packed[at] = data.draw(st.integers(min_value=0, max_value=255))
    _load_or_codec_error(bytes(packed))


@given(st.binary(max_size=200))
def test_random_bytes_raise_codec_error_or_nothing(packed: bytes) -> None:
    _load_or_codec_error(packed)


@given(st.binary(max_size=40), st.integers(min_value=0, max_value=127))
def test_random_payloads_raise_codec_error_or_nothing(payload: bytes, code: int) -> None:
    _load_or_codec_error(bytes([0xC7, len(payload), code]) + payload)


def _load_or_codec_error(packed: bytes) -> None:
    try:
        loads(packed, allow_pickle=False)
    except CodecError:
        pass


# --- isolation


def mutables(value: Any) -> list[Any]:
    """List every mutable object in *value*, the innermost last."""
    found = [value] if isinstance(value, (list, dict, set, bytearray)) else []
    if isinstance(value, dict):
        children: Any = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)) and type(value) not in ATOMS:
        children = value
    elif isinstance(value, (Shutdown, ExitMsg, Down)):
        children = [getattr(value, name) for name in value.__slots__]
    else:
        children = ()
    for child in children:
        found += mutables(child)
    return found


def spoil(value: Any) -> None:
    """Change every mutable object in *value*."""
    for part in reversed(mutables(value)):
        if isinstance(part, list):
            part.append("spoilt")
        elif isinstance(part, dict):
            part["spoilt"] = True
        elif isinstance(part, set):
            part.add("spoilt")
        else:
            part += b"spoilt"


@given(messages)
def test_a_copy_is_equal_in_value_and_type(message: Any) -> None:
    assert shape(isolate(message)) == shape(message)


@given(messages)
def test_no_change_of_one_side_is_seen_on_the_other(message: Any) -> None:
    before = shape(message)
    spoil(isolate(message))
    assert shape(message) == before

    copy = isolate(message)
    spoil(message)
    assert shape(copy) == before


@given(hashables)
def test_immutable_messages_pass_by_reference(message: Any) -> None:
    assert isolate(message) is message
