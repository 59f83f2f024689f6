"""PROC-08 and trap T-01: a receiver never shares a mutable object with the sender."""

from __future__ import annotations

import datetime
import enum
import functools
import pathlib
import threading
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import pytest

from foundation.errors import Unsendable
from foundation.kernel import isolation
from foundation.kernel.isolation import ATOMS, isolate, register_immutable
from foundation.kernel.values import TIMEOUT, Alias, Crash, Down, Pid, Ref, Shutdown
from tests.ids import plain

T = TypeVar("T")

PID = Pid("node/a", 1, 7)


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Inc:
    by: int = 1


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: Any = None


@dataclass(frozen=True)
class PutTwice(Inc):
    other: Any = None


@dataclass(frozen=True)
class Boxed(Generic[T]):
    content: T


@dataclass(frozen=True)
class Empty:
    pass


@dataclass
class Account:
    lines: list[int] = field(default_factory=list)


class Point(NamedTuple):
    x: Any
    y: Any


# --- immutable values pass by reference


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        2**100,
        1.5,
        2j,
        "text",
        b"bytes",
        ...,
        range(3),
        Decimal(1),
        Fraction(1, 3),
        uuid.UUID(int=1),
        datetime.datetime(2026, 1, 1),
        datetime.timedelta(1),
        pathlib.PurePosixPath("/a"),
        pathlib.Path("/a"),
        int,
        Account,
        len,
        isolate,
        lambda: 1,
        Colour.RED,
        PID,
        Ref("node/a", 1, 2),
        Alias(PID, 2),
        ("inc", 5),
        (PID, ("inc", (5, Colour.RED))),
        (),
        frozenset({1, ("a", 2)}),
        Inc(5),
        Put("k", ("a", Inc(2))),
        PutTwice(1, "x"),
        Boxed(5),
        Empty(),
        Point(1, (2,)),
        Shutdown("why"),
        Crash("E", "m"),
        Down(Ref("a", 1, 2), PID, "normal"),
        TIMEOUT,
    ],
    ids=plain,
)
def test_immutable_values_are_not_copied(value: object) -> None:
    assert isolate(value) is value
    assert isolate((value, 1))[0] is value
    assert isolate([value])[0] is value


def test_atoms_are_types_and_leave_out_what_can_change() -> None:
    assert {int, str, bytes, Pid, type(None)} <= ATOMS
    assert not {list, dict, set, bytearray, tuple, frozenset, object} & ATOMS


# --- mutable values are copied


def parts(value: Any) -> Iterator[Any]:
    """Yield *value* and what is in it."""
    yield value
    if isinstance(value, dict):
        children: Any = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        children = value
    else:
        names: Any = getattr(value, "__dict__", None) or getattr(value, "__slots__", ())
        children = [getattr(value, name) for name in names]
    for child in children:
        yield from parts(child)


MUTABLE = (list, dict, set, bytearray, deque, Account)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [1, 2],
        {"a": 1},
        {1, 2},
        bytearray(b"x"),
        deque([1, [2]], maxlen=3),
        [1, [2, {"k": (3, [4])}]],
        (1, [2]),
        {"k": [1]},
        Put("k", [1]),
        Put("k", (1, {"a": [2]})),
        PutTwice(1, [2]),
        Boxed([1]),
        Point(1, [2]),
        Account([1]),
        [Account([1])],
        {"k": (Account([1]), Put("k", Account()))},
        Counter("aab"),
        OrderedDict(a=[1]),
        defaultdict(list, a=[1]),
        Shutdown([1]),
    ],
    ids=plain,
)
def test_mutable_parts_are_copied_and_types_kept(value: object) -> None:
    copy = isolate(value)
    assert copy == value
    assert type(copy) is type(value)
    assert repr(copy) == repr(value)
    theirs = {id(part) for part in parts(value) if isinstance(part, MUTABLE)}
    assert theirs
    assert not theirs & {id(part) for part in parts(copy)}


def test_the_copy_and_the_original_change_apart() -> None:
    sent = {"todo": ["a"], "done": {1}}
    seen = isolate(sent)
    sent["todo"].append("b")  # type: ignore[attr-defined]
    seen["done"].add(2)  # type: ignore[attr-defined]
    assert seen == {"todo": ["a"], "done": {1, 2}}
    assert sent == {"todo": ["a", "b"], "done": {1}}


def test_immutable_parts_of_a_mutable_message_are_shared() -> None:
    big = ("x",) * 1000
    assert isolate([big, [1]])[0] is big
    assert isolate(Put("k", (big, [1]))).value[0] is big


def test_a_copied_frozen_dataclass_is_complete_without_running_its_constructor() -> None:
    made = []

    @dataclass(frozen=True)
    class Counted:
        items: list[int]
        size: int = field(init=False)
        kinds: ClassVar[int] = 1

        def __post_init__(self) -> None:
            made.append(1)
            object.__setattr__(self, "size", len(self.items))

    copy = isolate(sent := Counted([1, 2]))
    assert copy == sent
    assert copy.items is not sent.items
    assert made == [1]


# --- frozen in name only


class Bag:
    __slots__ = ("content",)
    content: list[int]


@dataclass(frozen=True)
class WithBag(Bag):
    number: int = 1


@dataclass(frozen=True)
class FrozenError(Exception):
    number: int = 1


class Loose(Inc):
    """Not a dataclass itself, so not known to be frozen."""


@dataclass(frozen=True)
class Lazy:
    number: int

    @cached_property
    def items(self) -> list[int]:
        return [self.number]


@pytest.mark.parametrize("value", [WithBag(), FrozenError(2)])
def test_hidden_state_that_not_even_pickle_restores_is_refused_not_shared(value: Any) -> None:
    object.__setattr__(value, "content", [1])
    with pytest.raises(Unsendable, match="cannot assign to field"):
        isolate(value)


def test_attributes_besides_the_fields_are_not_overlooked() -> None:
    value = Lazy(3)
    assert isolate(value) is value
    assert value.items == [3]
    assert isolate(value).items is not value.items


def test_a_plain_subclass_of_a_frozen_dataclass_is_copied() -> None:
    value = Loose(2)
    object.__setattr__(value, "items", [1])
    copy = isolate(value)
    assert type(copy) is Loose
    assert vars(copy) == vars(value)
    assert vars(copy)["items"] is not vars(value)["items"]


def test_a_field_that_was_never_set_is_no_obstacle() -> None:
    value = object.__new__(Inc)
    assert type(isolate([value])[0]) is Inc
    with pytest.raises(Unsendable):
        isolate(object.__new__(Put))


def test_a_method_of_a_mutable_object_does_not_smuggle_it() -> None:
    items = [1]
    account = Account(items)
    isolate(items.append)(2)
    isolate(account.lines.append)(2)
    assert items == [1]
    assert isolate(functools.partial(int, "5"))() == 5


# --- opting in and out


def test_a_class_may_declare_itself_immutable() -> None:
    class Shared:
        __immutable__ = True

        def __init__(self) -> None:
            self.lock = threading.Lock()

    value = Shared()
    assert isolate(value) is value
    assert isolate([value, [1]])[0] is value


@dataclass(frozen=True)
class Stamped:
    __immutable__ = False
    number: int


def test_a_class_may_ask_to_be_copied() -> None:
    value = Stamped(1)
    assert isolate(value) == value
    assert isolate(value) is not value


def test_register_immutable_counts_for_exactly_that_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "_by_reference", set(isolation._by_reference))
    value = Account([1])
    assert isolate(value) is not value
    register_immutable(Account)
    assert isolate(value) is value
    message = (1, value)
    assert isolate(message) is message

    class Sub(Account):
        pass

    sub = Sub([1])
    assert isolate(sub) is not sub


# --- odd shapes


def test_a_cycle_is_copied_as_a_cycle() -> None:
    ring: list[Any] = [1]
    ring.append({"ring": (ring,)})
    copy = isolate(ring)
    assert copy is not ring
    assert copy[1]["ring"][0] is copy


@pytest.mark.parametrize("join", [lambda x: [x, x], lambda x: (x, x), lambda x: {1: x, 2: x}])
def test_a_graph_that_shares_its_nodes_takes_no_exponential_time(join: Any) -> None:
    value: Any = [1]
    for _ in range(60):
        value = join(value)
    copy = isolate(value)
    for _ in range(60):
        assert copy is not value
        copy, value = copy[1], value[1]
    assert copy == value == [1]


@pytest.mark.parametrize("depth", [11, 12, 13, 100])
def test_deep_messages_are_copied(depth: int) -> None:
    value: Any = [1]
    for _ in range(depth):
        value = (value,)
    copy = isolate(value)
    assert copy == value
    assert copy is not value


def test_endlessly_deep_messages_are_refused_not_crashed_on() -> None:
    value: Any = [1]
    for _ in range(50_000):
        value = [value]
    with pytest.raises(Unsendable):
        isolate(value)
    # Taken apart by hand: comparing or printing it would overflow the stack.
    while isinstance(value, list):
        (value,) = value


def test_instances_of_local_classes_are_copied_within_their_class() -> None:
    class Local:
        def __init__(self) -> None:
            self.items = [1]

    copy = isolate(sent := Local())
    assert type(copy) is Local
    assert copy.items is not sent.items


class TwoArguments(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("text")


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in ""), TwoArguments(1, 2)], ids=lambda v: str(type(v))
)
def test_what_cannot_be_copied_is_named_with_a_remedy(value: object) -> None:
    for message in (value, [value], (1, {"k": value}), Put("k", value)):
        with pytest.raises(Unsendable, match=rf"{type(value).__name__} cannot be sent: .*send"):
            isolate(message)
