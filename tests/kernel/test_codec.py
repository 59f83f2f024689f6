"""The wire format: what arrives is what was sent, and bad bytes are refused in one way."""

from __future__ import annotations

import dataclasses
import enum
import math
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgpack
import pytest

from foundation.errors import CodecError, Unsendable
from foundation.kernel import codec
from foundation.kernel.codec import dumps, loads, register
from foundation.kernel.values import (
    TIMEOUT,
    Alias,
    BadReturn,
    Crash,
    Down,
    ExitMsg,
    Pid,
    Ref,
    Shutdown,
    Timeout,
)
from tests.ids import plain

PID = Pid("node/a", 1, 7)
REF = Ref("node/a", 1, 9)


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


class Name(str):
    pass


class Number(int):
    pass


class Table(dict[str, int]):
    pass


@dataclass
class Account:
    owner: str
    lines: list[int]


@dataclass(frozen=True, slots=True)
class Push:
    item: Any
    count: int = 1


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


def assert_travels(value: object, *, allow_pickle: bool = True) -> None:
    arrived = loads(dumps(value), allow_pickle=allow_pickle)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**64 - 1,
        2**64,
        -(2**63) - 1,
        -(2**200),
        1.0,
        math.inf,
        "",
        "ünï",
        b"",
        b"\x00" * 300,
        b"\x00" * 70_000,
        1 - 2j,
        bytearray(b"abc"),
        (),
        ("inc", 5),
        ((), ((),)),
        [1, [2, [3]]],
        {1, 2},
        frozenset({(1, 2)}),
        {"a": 1, 2: "b", None: 3, (1, "k"): [4], 1.5: (), b"k": True, frozenset(): 0},
        PID,
        REF,
        Alias(PID, 3),
        Shutdown(("because", 1)),
        Crash("ValueError", "no", "Traceback ..."),
        BadReturn("5", "handle_call"),
        ExitMsg(PID, "killed"),
        Down(REF, "name", Shutdown()),
        TIMEOUT,
        msgpack.Timestamp(1, 2),
    ],
    ids=plain,
)
def test_data_and_the_library_s_messages_travel_without_pickle(value: object) -> None:
    assert_travels(value, allow_pickle=False)


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Level.LOW,
        Point(1, 2),
        Name("x"),
        Number(3),
        Table(a=1),
        OrderedDict(a=1),
        deque([1, 2], maxlen=3),
        Account("me", [1, 2]),
        Decimal("1.10"),
        datetime(2026, 1, 1, tzinfo=UTC),
        int,
        len,
        assert_travels,
        range(3),
        "\ud800",
        ["\ud800", (1,)],
    ],
    ids=plain,
)
def test_anything_else_travels_as_pickle_and_keeps_its_type(value: object) -> None:
    assert_travels(value)
    assert_travels((value, [value]))
    with pytest.raises(CodecError, match="pickle is refused"):
        loads(dumps(value), allow_pickle=False)


def test_equal_values_of_different_types_are_told_apart() -> None:
    sent = [1, 1.0, True, 0, 0.0, False, "1", b"1", bytearray(b"1"), Number(1), Level.LOW, (1,)]
    arrived = loads(dumps(sent))
    assert isinstance(arrived, list)
    assert [type(item) for item in arrived] == [type(item) for item in sent]


def test_the_sign_of_zero_and_nan_survive() -> None:
    arrived = loads(dumps([-0.0, math.nan, complex(-0.0, math.nan)]))
    assert isinstance(arrived, list)
    assert math.copysign(1, arrived[0]) == -1
    assert math.isnan(arrived[1])
    assert math.copysign(1, arrived[2].real) == -1
    assert math.isnan(arrived[2].imag)


@pytest.mark.parametrize("size", [3, 300, 70_000])
def test_a_bytearray_stays_one_wherever_it_is(size: int) -> None:
    part = bytearray(size)
    for value in ([part, b"x"], {"k": part}, {"k": [1, {"l": part}]}, (part,), Push(part)):
        assert repr(loads(dumps(value))) == repr(value)


def test_the_order_of_a_dictionary_is_kept() -> None:
    arrived = loads(dumps({"z": 1, "a": 2, (1,): 3}))
    assert isinstance(arrived, dict)
    assert list(arrived) == ["z", "a", (1,)]


def test_functions_and_local_classes_travel_as_cloudpickle() -> None:
    step = 3

    class Local:
        def __init__(self) -> None:
            self.value = 7

    assert loads(dumps(lambda x: x + step))(2) == 5  # type: ignore[operator]
    arrived = loads(dumps({"k": (Local(),)}))
    assert arrived["k"][0].value == 7  # type: ignore[index]


@pytest.mark.real
def test_a_class_of_main_travels_to_a_host_with_another_main() -> None:
    script = (
        "import sys; from foundation.kernel.codec import dumps\n"
        "class Message:\n    value = 5\n"
        "sys.stdout.buffer.write(dumps([Message()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, timeout=30
    )
    arrived: Any = loads(done.stdout)
    assert arrived[0].value == 5


@pytest.mark.parametrize(
    "value", [threading.Lock(), (n for n in ""), memoryview(b"abc")], ids=lambda v: str(type(v))
)
def test_what_cannot_travel_is_named_with_a_remedy(value: object) -> None:
    for message in (value, [1, value], {"k": (value,)}):
        with pytest.raises(Unsendable, match=rf"{type(value).__name__} cannot be sent: .*send"):
            dumps(message)
    assert loads(dumps(("next", 1))) == ("next", 1)


def test_an_object_that_fails_to_describe_itself_is_unsendable() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Stubborn:
        def __reduce_ex__(self, protocol: Any) -> Any:
            raise Rude

    with pytest.raises(Unsendable, match="Stubborn cannot be sent"):
        dumps((Stubborn(),))


# --- depth


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: {"k": x}])
@pytest.mark.parametrize("depth", [15, 16, 17, 18, 40, 100])
def test_deep_messages_travel(wrap: Any, depth: int) -> None:
    value: Any = "leaf"
    for _ in range(depth):
        value = wrap(value)
    assert_travels(value)


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: {"k": x}])
def test_endlessly_deep_messages_are_refused_not_crashed_on(wrap: Any) -> None:
    value: Any = "leaf"
    for _ in range(50_000):
        value = wrap(value)
    with pytest.raises(Unsendable):
        dumps(value)
    # Taken apart by hand: comparing or printing it would overflow the stack.
    while not isinstance(value, str):
        (value,) = value.values() if isinstance(value, dict) else value


def test_cycles_travel() -> None:
    ring: list[Any] = [1]
    ring.append((ring,))
    arrived = loads(dumps(ring))
    assert arrived[1][0] is arrived  # type: ignore[index]


@pytest.mark.parametrize("join", [lambda x: (x, x), lambda x: frozenset({(1, x), (2, x)})])
def test_tuples_that_share_their_parts_take_no_exponential_time(join: Any) -> None:
    value: Any = (1,)
    for _ in range(40):
        value = join(value)
    assert len(dumps(value)) < 10_000


def nested_ext(depth: int, code: int = codec.TUPLE) -> bytes:
    packer = msgpack.Packer()
    data: bytes = packer.pack([])
    for _ in range(depth):
        ext: bytes = packer.pack(msgpack.ExtType(code, data))
        data = b"\x91" + ext
    return data


@pytest.mark.parametrize("depth", [18, 1_000, 20_000])
def test_too_deeply_nested_extensions_are_refused(depth: int) -> None:
    with pytest.raises(CodecError):
        loads(nested_ext(depth))


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdd\x00\x00\x27\x10"])
def test_too_deeply_nested_arrays_and_maps_are_refused(opening: bytes) -> None:
    with pytest.raises(CodecError):
        loads(opening * 10_000 + b"\x01")


# --- bad bytes


def ext(code: int, payload: bytes) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(code, payload))
    return packed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\xa2\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\x90\x01",
        ext(127, b""),
        ext(codec.TUPLE, b""),
        ext(codec.TUPLE, b"\x81\x01\x02"),
        ext(codec.TUPLE, b"\xa2ab"),
        ext(codec.SET, b"\x91\x90"),
        ext(codec.COMPLEX, b"short"),
        ext(codec.PICKLE, b"no pickle"),
        ext(codec.CLOUDPICKLE, b""),
        ext(16, b"\x91\x01"),
        ext(16, b"\x94\x01\x01\x01\x01"),
        pickle.dumps(("a", 1)),
    ],
)
def test_malformed_bytes_are_a_codec_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        loads(data)


def test_an_unpickling_that_fails_is_a_codec_error() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("text")

    with pytest.raises(CodecError):
        loads(dumps(Odd(1, 2)))


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("code of the sender was run",))


def test_refusing_pickle_runs_no_code_of_the_sender() -> None:
    data = ext(codec.PICKLE, pickle.dumps(Bomb()))
    for message in (data, b"\x91" + data, ext(codec.TUPLE, b"\x91" + data)):
        with pytest.raises(CodecError, match="pickle is refused"):
            loads(message, allow_pickle=False)


def test_loads_takes_any_kind_of_buffer() -> None:
    data = dumps(("inc", 5))
    assert loads(bytearray(data)) == loads(memoryview(data)) == ("inc", 5)


# --- the registry of classes


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_listed", "_from_list", "_class_of"):
        monkeypatch.setattr(codec, table, dict(getattr(codec, table)))
    # The chains look the tables up as globals, so copies of the tables take effect at once.


@pytest.mark.usefixtures("registry")
def test_a_registered_class_travels_by_its_fields() -> None:
    register(Push, 120)
    register(Point, 121)
    register(Account, 122, ("owner", "lines"))
    for value in (Push((1, 2)), Point(1, 2), Account("me", [1])):
        assert_travels(value, allow_pickle=False)
    register(Slotted, 123)
    arrived = loads(dumps(Slotted(3)), allow_pickle=False)
    assert isinstance(arrived, Slotted)
    assert arrived.value == 3


@pytest.mark.usefixtures("registry")
def test_a_subclass_of_a_registered_class_keeps_its_type() -> None:
    register(Exception, 120, ("args",))
    assert type(loads(dumps(ValueError("x")))) is ValueError


@pytest.mark.usefixtures("registry")
def test_codes_and_classes_clash_loudly() -> None:
    register(Push, 120)
    register(Push, 120)
    with pytest.raises(ValueError, match=r"belongs to Push, choose another"):
        register(Point, 120)
    with pytest.raises(ValueError, match="registered already under code 120"):
        register(Push, 121)
    with pytest.raises(ValueError, match="code must be from 16 to 127, got 3"):
        register(Point, 3)
    with pytest.raises(ValueError, match="fields= must be given"):
        register(object, 122)
    with pytest.raises(ValueError, match="belongs to Pid"):
        register(Point, 16)


def test_the_codes_of_the_kernel_s_values_never_change() -> None:
    """They are on the wire between hosts of different versions."""
    kinds = [Pid, Ref, Alias, Shutdown, Crash, BadReturn, ExitMsg, Down, Timeout]
    assert [codec._class_of[code] for code in range(16, 25)] == kinds


# --- re-entrance


class Sender:
    """Serialises something of its own while it is being serialised."""

    def __init__(self, inner: object = None) -> None:
        self.inner = inner

    def __reduce__(self) -> Any:
        return (Sender, (dumps([bytearray(b"own"), ("own",)]),))


def test_dumps_within_dumps() -> None:
    arrived = loads(dumps(["a", (1, Sender()), "z"]))
    assert isinstance(arrived, list)
    assert arrived[0::2] == ["a", "z"]
    assert loads(arrived[1][1].inner) == [bytearray(b"own"), ("own",)]


def test_threads_do_not_mix_up_their_messages() -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        message = [number, (number, [Point(number, number)], "x" * number), {number: (number,)}]
        wrong.extend(message for _ in range(200) if loads(dumps(message)) != message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_default_dict_keeps_its_factory() -> None:
    arrived = loads(dumps(defaultdict(list, a=[1])))
    assert isinstance(arrived, defaultdict)
    assert arrived["new"] == []


def test_a_frozen_dataclass_of_main_sends_its_class_once_made() -> None:
    @dataclasses.dataclass(frozen=True)
    class Local:
        amount: int
        tags: tuple[str, ...] = ()

    first, second = loads(dumps(Local(5, ("a",)))), loads(dumps(Local(6)))

    assert (first.amount, first.tags, second.amount) == (5, ("a",), 6)
    assert type(first) is type(second)
    assert dumps(Local(5))[:2] == dumps(Local(6))[:2]
    with pytest.raises(CodecError):
        loads(dumps(Local(5)), allow_pickle=False)


def test_a_dataclass_with_its_own_ideas_goes_by_pickle() -> None:
    @dataclasses.dataclass(frozen=True)
    class Checked:
        amount: int

        def __post_init__(self) -> None:
            object.__setattr__(self, "amount", self.amount + 1)

    assert loads(dumps(Checked(5))).amount == 6
