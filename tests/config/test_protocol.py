"""The protocol step by step: recovery of what was left half done, sealing, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foundation.config.protocol import values
from foundation.config.protocol.machine import UNFINISHED_AFTER
from foundation.config.protocol.moving import WAIT_FOR_ALL
from foundation.config.protocol.rounds import ASK_AGAIN
from foundation.config.protocol.values import ABSENT
from foundation.kernel.values import Pid
from tests.config.world import Asked, World

X, Y = ("x",), ("y",)


def _world(size: int = 3, expected: int | None = 3, seed: int = 1) -> World:
    world = World(seed, list("abcde")[:size], expected, delay=0.01)
    for name in world.names:
        world.start(name)
    world.until(world.settled)
    return world


def _lose(world: World, lost: Callable[[str, str, str], bool]) -> None:
    """Lose messages by source, destination and kind."""
    world.passes = lambda source, name, message: not lost(source, name, message[0])


def _lose_nothing(world: World) -> None:
    world.passes = lambda source, name, message: True


def _number(world: World, name: str) -> int:
    return world.nodes[name].machine.acceptor.configuration.number


def test_a_node_alone_decides_at_once_where_no_size_is_expected() -> None:
    world = _world(1, None)
    assert world.do("a", "write", X, b"1").kind == "done"
    assert world.do("a", "read", X).record is not None
    assert world.value("a", X).value == b"1"


def test_the_first_configuration_waits_for_all_but_not_for_ever() -> None:
    world = World(1, list("abc"), 3)
    world.start("a")
    world.start("b")
    took = world.until(lambda: _number(world, "a") == 1)
    assert took >= WAIT_FOR_ALL
    world = World(1, list("abc"), 3)
    for name in "abc":
        world.start(name)
    assert world.until(lambda: _number(world, "a") == 1) < WAIT_FOR_ALL
    assert len(world.nodes["a"].machine.acceptor.configuration.members) == 3


def test_less_than_a_majority_of_the_expected_size_never_begins() -> None:
    world = World(1, list("ab"), 4)
    world.start("a")
    world.start("b")
    outcome = world.do("a", "write", X, b"1")
    assert (outcome.kind, outcome.needed) == ("refused", 3)
    world.run(20.0)
    assert _number(world, "a") == 0
    assert not world.nodes["a"].machine.available


def test_a_write_that_nobody_was_asked_to_accept_is_refused_and_leaves_nothing() -> None:
    world = _world()
    world.cut("a", "b")
    world.cut("a", "c")
    assert world.do("a", "write", X, b"lost").kind == "refused"
    world.heal()
    world.run(10.0)
    assert world.do("b", "read", X).record == ABSENT
    world.oracle.check()


def test_what_one_acceptor_holds_of_a_writer_that_is_gone_is_finished_by_a_reader() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: (kind, name) == ("accept", "c") or kind == "accepted")
    asked = world.ask("a", "write", X, b"half", 1.0)
    world.until(lambda: world.nodes["b"].machine.acceptor.look(X).record.number == 1)
    world.crash("a")
    _lose_nothing(world)
    found = world.do("c", "read", X).record
    assert found is not None
    assert (found.number, found.value) == (1, b"half")
    assert asked.outcome is None
    written = world.do("c", "write", X, b"next").record
    assert written is not None
    assert written.number == 2
    world.until(lambda: world.value("b", X).value == b"next")


def test_it_is_finished_without_any_reader_too() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: (kind, name) == ("accept", "c") or kind == "accepted")
    world.ask("a", "write", X, b"half", 1.0)
    world.until(lambda: world.nodes["b"].machine.acceptor.look(X).record.number == 1)
    world.crash("a")
    _lose_nothing(world)
    world.until(lambda: world.value("c", X).value == b"half", 3 * UNFINISHED_AFTER)


def test_what_only_its_dead_writer_held_is_lost_for_good() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: kind == "accept")
    world.ask("a", "write", X, b"gone", 1.0)
    world.until(lambda: world.nodes["a"].machine.acceptor.look(X).record.number == 1)
    world.crash("a")
    _lose_nothing(world)
    assert world.do("b", "read", X).record == ABSENT
    written = world.do("b", "write", X, b"other").record
    assert written is not None
    assert written.number == 1
    world.start("a")
    world.until(world.settled)
    assert world.value("a", X).value == b"other"


def test_a_writer_that_hears_nothing_of_its_success_finds_its_write_below_a_later_one() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: kind in ("accepted", "records") and name == "a")
    asked = world.ask("a", "write", X, b"first", 20.0)
    world.until(lambda: world.nodes["b"].machine.acceptor.look(X).record.number == 1)
    later = world.do("c", "write", X, b"second").record
    assert later is not None
    assert later.number == 2
    assert asked.outcome is None
    _lose_nothing(world)
    world.until(lambda: asked.outcome is not None)
    assert asked.outcome is not None
    assert asked.outcome.record is not None
    assert (asked.outcome.kind, asked.outcome.record.number) == ("done", 1)
    world.run(5.0)
    assert [world.value(name, X).value for name in "abc"] == [b"second"] * 3
    world.oracle.check()


def _a_is_out_of_the_cluster_while_its_write_is_decided(world: World) -> Asked:
    _lose(world, lambda source, name, kind: kind in ("accepted", "records") and name == "a")
    asked = world.ask("a", "write", X, b"first", 60.0)
    world.until(lambda: world.nodes["b"].machine.acceptor.look(X).record.number == 1)
    for other in "bcd":
        world.cut("a", other)
    world.start("d")  # takes the place of a
    world.until(lambda: all(_number(world, name) == 2 for name in "bcd"))
    assert world.do("d", "write", X, b"second").kind == "done"
    _lose_nothing(world)
    world.heal()
    world.until(lambda: asked.outcome is not None)
    return asked


def test_a_writer_finds_its_write_however_many_have_come_since() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: kind in ("accepted", "records") and name == "a")
    asked = world.ask("a", "write", X, b"first", 60.0)
    world.until(lambda: world.nodes["b"].machine.acceptor.look(X).record.number == 1)
    _lose(world, lambda source, name, kind: "a" in (source, name))
    for step in range(200):
        assert world.do("bc"[step % 2], "write", X, f"{step}".encode()).kind == "done"
    _lose_nothing(world)
    world.until(lambda: asked.outcome is not None)
    assert asked.outcome is not None
    assert asked.outcome.record is not None
    assert (asked.outcome.kind, asked.outcome.record.number) == ("done", 1)
    world.run(5.0)
    assert world.value("b", X).number == 201
    world.oracle.check()


def test_a_writer_that_was_overtaken_without_effect_writes_on_top() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: kind == "accept" and source == "a")
    asked = world.ask("a", "write", X, b"mine", 60.0)
    world.run(0.1)
    _lose(world, lambda source, name, kind: "a" in (source, name))
    for step in range(200):
        assert world.do("b", "write", X, f"{step}".encode()).kind == "done"
    _lose_nothing(world)
    world.until(lambda: asked.outcome is not None)
    assert asked.outcome is not None
    assert asked.outcome.record is not None
    assert (asked.outcome.kind, asked.outcome.record.number) == ("done", 201)
    world.oracle.check()


def test_a_writer_that_was_out_for_a_while_finds_its_write() -> None:
    world = _world()
    asked = _a_is_out_of_the_cluster_while_its_write_is_decided(world)
    assert asked.outcome is not None
    assert asked.outcome.record is not None
    assert (asked.outcome.kind, asked.outcome.record.number) == ("done", 1)
    world.oracle.check()


def test_one_that_is_forgotten_meanwhile_says_so_and_does_not_write_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(values, "STRANGERS", 0)
    world = _world()
    asked = _a_is_out_of_the_cluster_while_its_write_is_decided(world)
    assert asked.outcome is not None
    assert (asked.outcome.kind, asked.outcome.why) == ("unknown", values.FORGOTTEN)
    world.run(5.0)
    assert world.value("b", X).number == 2
    assert world.do("a", "write", X, b"third").kind == "done"
    world.oracle.check()


def test_a_record_lists_the_last_write_of_each_member_and_of_some_others() -> None:
    members = [Pid(f"m{number}/control", 1, 7) for number in range(3)]
    record = ABSENT
    for serial in range(100):
        record = record.after(values.op_id(members[0], serial), "m0", b"", members)
        stranger = Pid("s/control", serial, 7)
        record = record.after(values.op_id(stranger, serial), "s", b"", members)
    writers = [op[: values.WRITER_BYTES] for _, op in record.history()]
    assert len(writers) == len(dict.fromkeys(writers)) == values.STRANGERS + 2
    assert record.history()[0] == (200, record.op)
    assert record.number_of(values.op_id(members[0], 99)) == 199
    assert record.number_of(values.op_id(members[0], 98)) is None
    first = 2 * (100 - values.STRANGERS) - 2  # the last one that was dropped
    assert record.forgotten == first
    unlisted = values.op_id(members[1], 1)
    assert not record.remembers(unlisted, first)
    assert record.remembers(unlisted, first + 1)
    assert record.remembers(values.op_id(members[0], 100), 1)


@pytest.mark.parametrize(("busy", "why"), [(True, values.QUEUED), (False, values.LATE)])
def test_a_refusal_says_whether_it_had_its_turn(busy: bool, why: str) -> None:
    world = _world()
    _lose(world, lambda source, name, kind: "a" in (source, name))
    if busy:
        world.ask("a", "write", X, b"first", 30.0)
    outcome = world.do("a", "write", X, b"second")
    assert (outcome.kind, outcome.why) == ("refused", why)


def test_a_member_that_was_not_asked_to_be_sealed_cannot_decide_with_another() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: "c" in (source, name))  # but it counts as there
    world.crash("b")
    world.run(1.0)
    world.start("b")  # a stranger: the majority of the first configuration is gone, but for a, c
    asked = world.ask("c", "write", X, b"split", 3.0)
    world.run(4.0)
    assert asked.outcome is not None
    assert asked.outcome.kind == "refused"
    _lose_nothing(world)
    world.until(world.settled)
    assert world.do("b", "write", X, b"1").kind == "done"
    world.oracle.check()


@pytest.mark.parametrize("seed", range(20))
def test_a_restarted_server_does_not_vote_with_the_memory_that_it_has_lost(seed: int) -> None:
    """The case of "Recovering Shared Objects Without Stable Storage", section 3."""
    world = _world(seed=seed)
    _lose(world, lambda source, name, kind: kind == "prepare" and (source, name) == ("a", "c"))
    world.ask("a", "write", X, b"old", 5.0)  # b has promised, c will be asked again
    world.run(0.015)
    world.crash("b")
    world.start("b")
    world.ask("c", "write", X, b"new", 5.0)
    world.run(world.rng.uniform(0.0, ASK_AGAIN))
    _lose_nothing(world)
    world.run(6.0)
    world.until(world.settled)
    world.oracle.check()


def test_rivals_take_turns() -> None:
    world = _world(5, 5)
    asked = [
        world.ask(name, "write", X, f"{name}{number}".encode(), 30.0)
        for number in range(10)
        for name in "abcde"
    ]
    world.until(lambda: all(each.outcome is not None for each in asked), 30.0)
    numbers = [each.outcome.record.number for each in asked if each.outcome and each.outcome.record]
    assert sorted(numbers) == list(range(1, 51))
    world.oracle.check()


def test_paths_do_not_wait_for_each_other() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: False)
    blocked = world.passes

    def passes(source: str, name: str, message: Any) -> bool:
        about_x = message[0] in ("prepare", "accept") and tuple(message[3]) == X
        return blocked(source, name, message) and not about_x

    world.passes = passes
    stuck = world.ask("a", "write", X, b"1", 3.0)
    assert world.do("a", "write", Y, b"2").kind == "done"
    assert stuck.outcome is None


def test_sides_without_a_size_take_over_the_higher_version_after_the_heal() -> None:
    world = _world(4, None)
    for one in "ab":
        for other in "cd":
            world.cut(one, other)
    world.run(2.0)
    for step in range(3):
        assert world.do("d", "write", X, f"d{step}".encode()).kind == "done"
    assert world.do("a", "write", X, b"a").kind == "done"
    assert world.do("a", "write", Y, b"only here").kind == "done"
    world.heal()
    world.until(lambda: world.settled() and world.value("a", X).value == b"d2")
    assert [world.value(name, Y).value for name in "abcd"] == [b"only here"] * 4
    found = world.do("b", "read", X).record
    assert found is not None
    assert (found.number, found.value) == (3, b"d2")


def test_nodes_beyond_the_expected_size_raise_the_majority() -> None:
    world = _world(5, 3)
    assert world.nodes["a"].machine.acceptor.configuration.majority == 3
    for one in "ab":
        for other in "cde":
            world.cut(one, other)
    world.run(2.0)
    assert world.do("a", "write", X, b"minority").kind == "refused"
    assert world.do("c", "write", X, b"majority").kind == "done"


def test_a_hundred_restarts_leave_nothing_behind() -> None:
    world = _world()
    assert world.do("a", "write", X, b"1").kind == "done"
    for _ in range(100):
        world.crash("c")
        world.run(0.5)
        world.start("c")
        world.until(world.settled)
    machine = world.nodes["a"].machine
    assert len(machine.acceptor.configuration.members) == 3
    assert len(machine.acceptor.registers) == 1
    assert (len(machine.peers.known), machine.rounds.next_wake) == (2, float("inf"))
    assert world.value("c", X).value == b"1"


def test_a_majority_of_which_one_is_behind_goes_on() -> None:
    world = _world(5, 5)
    _lose(world, lambda source, name, kind: name == "e" and kind == "install")
    world.crash("a")
    world.start("a")
    world.until(lambda: all(_number(world, name) == 2 for name in "abcd"))
    _lose(world, lambda source, name, kind: name == "e" or kind in ("install", "sealed"))
    world.crash("b")
    world.start("b")
    acceptors = [world.nodes[name].machine.acceptor for name in "acd"]
    world.until(lambda: all(acceptor.successor is not None for acceptor in acceptors))
    world.crash("c")
    _lose_nothing(world)
    world.until(lambda: all(_number(world, name) >= 3 for name in "abde"))


def test_what_a_majority_accepted_goes_along_though_who_moves_it_did_not_know() -> None:
    world = _world()
    _lose(world, lambda source, name, kind: name == "a" and kind in ("accept", "records", "have"))
    assert world.do("b", "write", X, b"1").kind == "done"
    world.crash("c")
    number = _number(world, "b")
    _lose(
        world,
        lambda source, name, kind: (
            (name == "a" and kind in ("records", "have")) or (source == "b" and kind == "prepare")
        ),
    )
    world.start("c")
    world.until(lambda: all(_number(world, name) > number for name in "abc"))
    world.crash("b")
    _lose_nothing(world)
    found = world.do("a", "read", X).record
    assert found is not None
    assert (found.number, found.value) == (1, b"1")


def test_who_is_left_of_a_lost_majority_joins_those_that_began_anew() -> None:
    world = _world()
    for _ in range(2):  # so that its configuration has the higher number
        world.crash("b")
        world.start("b")
        world.until(world.settled)
    assert world.do("a", "write", X, b"1").kind == "done"
    world.until(lambda: world.value("c", X).number == 1)
    world.crash("a")
    world.crash("b")
    world.start("a")
    world.start("b")
    world.until(world.settled)
    assert _number(world, "c") < 3
    assert [world.value(name, X).value for name in "abc"] == [b"1"] * 3
    assert world.do("b", "write", X, b"2").kind == "done"


def test_what_the_hosts_know_to_be_decided_stays_though_all_servers_are_restarted() -> None:
    world = _world()
    for step in range(5):
        assert world.do("a", "write", X, f"{step}".encode()).kind == "done"
    world.until(lambda: all(world.value(name, X).number == 5 for name in "abc"))
    for name in "abc":
        world.restart(name)
    reading, writing = world.ask("b", "read", X), world.ask("a", "write", X, b"next")
    world.until(lambda: reading.outcome is not None and writing.outcome is not None)
    read, written = (each.outcome.record for each in (reading, writing) if each.outcome)
    assert read is not None
    assert written is not None
    assert (read.number, read.value) in ((5, b"4"), (6, b"next"))
    assert (written.number, written.value) == (6, b"next")
    world.until(world.settled)
    assert [world.value(name, X).value for name in "abc"] == [b"next"] * 3
    world.oracle.check()


def test_half_of_an_even_size_is_no_minority_and_the_other_half_has_to_be_restarted_too() -> None:
    world = _world(2, 2)
    assert world.do("a", "write", X, b"1").kind == "done"
    world.run(1.0)
    world.restart("a")
    assert world.do("a", "write", X, b"2").kind == "refused"
    assert world.do("b", "write", X, b"2").kind == "refused"
    world.restart("b")
    world.until(world.settled)
    written = world.do("b", "write", X, b"3").record
    assert written is not None
    assert (written.number, world.value("b", X).value) == (2, b"3")
    world.oracle.check()
