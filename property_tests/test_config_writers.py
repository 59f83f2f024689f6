"""Laws of many writers of one path on a cluster that is well, and of what records remember."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.config.protocol.values import ABSENT, STRANGERS, op_id
from foundation.kernel.values import Pid
from tests.config.world import World

X = ("x",)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    loops=st.lists(st.integers(1, 40), min_size=2, max_size=7),
    delay=st.sampled_from([0.0001, 0.0005, 0.002, 0.01]),
)
def test_all_writers_of_all_nodes_are_served_and_share_one_order(
    seed: int, loops: list[int], delay: float
) -> None:
    world = World(seed, list("abcdefg")[: len(loops)], len(loops), delay=delay)
    for name in world.names:
        world.start(name)
    world.until(world.settled)
    found = [
        world.keep_writing(name, X, times, 5.0)
        for name, times in zip(world.names, loops, strict=True)
    ]
    world.until(
        lambda: all(
            len(asked) == times and asked[-1].outcome is not None
            for asked, times in zip(found, loops, strict=True)
        ),
        200.0,
    )
    outcomes = [each.outcome for asked in found for each in asked]
    numbers = [o.record.number for o in outcomes if o and o.kind == "done" and o.record]
    assert sorted(numbers) == list(range(1, sum(loops) + 1))
    world.oracle.check()


@given(
    writers=st.lists(st.integers(0, 60), max_size=200),
    members=st.sets(st.integers(0, 60), max_size=20).map(sorted),
)
def test_a_record_says_of_each_write_what_became_of_it_or_that_it_forgot(
    writers: list[int], members: list[int]
) -> None:
    lives = [Pid(f"n{number}/control", 1, 7) for number in range(61)]
    record, last = ABSENT, {}
    for number, writer in enumerate(writers, 1):
        op = op_id(lives[writer], number)
        record = record.after(op, f"n{writer}", b"", [lives[m] for m in members])
        last[writer] = (number, op)
    for writer, (number, op) in last.items():
        if record.number_of(op) is None:
            assert writer not in members
            assert not record.remembers(op, number)
        else:
            assert record.number_of(op) == number
    for writer in range(61):  # one that was never made is never said to be
        pending = op_id(lives[writer], len(writers) + 1)
        assert record.number_of(pending) is None
        if writer in members and writer in last:
            assert record.remembers(pending, 1)
    listed = [writer for writer, (_, op) in last.items() if record.number_of(op) is not None]
    strangers = [writer for writer in listed if writer not in members]
    assert len(strangers) <= STRANGERS + 1
    assert record.number == len(writers)
