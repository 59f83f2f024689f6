"""The registry against a list of entries: the table alone, and all of it over several hosts."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from foundation.errors import AlreadyRegistered, AlreadyStarted, NotRegistered
from foundation.kernel.isolation import isolate
from foundation.kernel.ops import call, cast, me, monitor, receive
from foundation.kernel.values import Down, Pid
from foundation.otp import registry
from foundation.otp.gen_server import GenServer
from foundation.otp.registry import Registry, lookup, via
from foundation.otp.registry_table import RegistryTable, normal_key
from foundation.testing import Simulation

atoms = st.sampled_from(["a", "b", 0, 1, 0.0, 1.0, False, True, None, b"a", 1 + 0j])
keys = st.recursive(atoms, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)
few_keys = st.sampled_from(["a", 1, 1.0, True, (1, "x"), (1.0, "x")])
values = st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))


class Holder(GenServer):
    """Calls the functions of ``foundation.otp.registry`` that it is told to."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        name, *args = request
        try:
            result = getattr(registry, name)(*args)
            return ("ok", await result if inspect.isawaitable(result) else result)
        except Exception as error:
            return ("raised", error)

    def handle_cast(self, request: Any) -> None:
        raise ValueError(request)


async def ask(pid: Pid, name: str, *args: Any) -> Any:
    """Have the holder *pid* call a function of the registry."""
    how, value = await call(pid, (name, *args))
    if how == "raised":
        raise value
    return value


async def down(pid: Pid) -> None:
    """Wait for the end of *pid*."""
    ref = monitor(pid)
    await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=10)


def same(one: Any, other: Any) -> bool:
    """Whether two keys are one: equal, with equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(keys, keys)
def test_g4_keys_are_filed_together_exactly_when_they_are_the_same(one: Any, other: Any) -> None:
    assert (normal_key(one) == normal_key(other)) == same(one, other)
    if same(one, other):
        assert hash(normal_key(one)) == hash(normal_key(other))


class TableMachine(RuleBasedStateMachine):
    """A table, and the list of its entries: ``[id, key, pid, value]``."""

    unique = False

    def __init__(self) -> None:
        super().__init__()
        owner = Pid("n/owner", 1, 1)
        self.table = RegistryTable("reg", owner, unique=self.unique, isolate=isolate)
        self.pids = [Pid(f"n/w{n % 2}", 1, n) for n in range(4)]
        self.model: list[list[Any]] = []

    def of(self, key: Any) -> list[list[Any]]:
        return [entry for entry in self.model if same(entry[1], key)]

    @rule(key=keys, number=st.integers(0, 3), value=values)
    def add(self, key: Any, number: int, value: Any) -> None:
        if self.unique and self.of(key):
            assert self.table.holder(key) == self.of(key)[0][2]
            return
        entry = self.table.add(key, self.pids[number], value)
        self.model.append([entry.id, key, self.pids[number], value])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.model))
        assert self.table.remove(entry[0]) is not None
        assert self.table.remove(entry[0]) is None
        self.model.remove(entry)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), value=values)
    def update(self, data: st.DataObject, value: Any) -> None:
        entry = data.draw(st.sampled_from(self.model))
        assert self.table.update(entry[0], value)
        entry[3] = value

    @rule(number=st.integers(0, 3))
    def drop(self, number: int) -> None:
        pid = self.pids[number]
        dropped = sorted(entry.id for entry in self.table.drop(pid))
        assert dropped == [entry[0] for entry in self.model if entry[2] == pid]
        self.model = [entry for entry in self.model if entry[2] != pid]

    @rule(key=keys)
    def look(self, key: Any) -> None:
        assert self.table.lookup(key) == [(e[2], e[3]) for e in self.of(key)]
        for pid in self.pids:
            own = [entry.id for entry in self.table.own(key, pid)]
            assert own == [e[0] for e in self.of(key) if e[2] == pid]

    @rule(key=keys)
    def readers_share_nothing_mutable(self, key: Any) -> None:
        for _, value in self.table.lookup(key):
            if isinstance(value, list):
                value.append("changed")
        self.look(key)

    @invariant()
    def entries_are_as_in_the_model(self) -> None:
        found = [[e.id, e.key, *e.pair] for e in self.table]
        assert found == self.model
        assert len(self.table) == len(self.model)

    @invariant()
    def indices_hold_exactly_the_entries(self) -> None:  # G2, G3
        table = self.table
        for index, at in ((table._by_key, "filed"), (table._by_pid, "pid")):
            ids = []
            for place, found in index.items():
                entries = list(found.values()) if isinstance(found, dict) else [found]
                assert entries, "an empty collection is kept"
                for entry in entries:
                    assert place == (entry.filed if at == "filed" else entry.pair[0])
                    ids.append(entry.id)
            assert sorted(ids) == [entry[0] for entry in self.model]
        if self.unique:  # G1
            assert all(not isinstance(found, dict) for found in table._by_key.values())


class UniqueTableMachine(TableMachine):
    """The same with unique keys."""

    unique = True


HOSTS = ("main", "w1", "w2", "w3")


class RegistryMachine(RuleBasedStateMachine):
    """A registry in host w1, holders in all hosts, crashes; against a list of entries.

    The model is exact for what was awaited; everything else is compared when the network is
    quiet.
    """

    kind = "unique"

    @initialize(seed=st.integers(0, 1000))
    def open(self, seed: int) -> None:
        self.simulation = Simulation(seed, hosts=4, delay=(0.0001, 0.02))
        self.model: list[list[Any]] = []  # [key, pid, value]
        self.holders: list[Pid] = []
        self.simulation.run(self._open)

    async def _open(self) -> None:
        await Registry.start(name="reg", host="w1", keys=self.kind)
        for host in HOSTS:
            self.holders.append(await Holder.start(host=host))

    def teardown(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.close()

    def of(self, key: Any) -> list[list[Any]]:
        return [entry for entry in self.model if same(entry[0], key)]

    def holder(self, number: int) -> Pid:
        return self.holders[number % len(self.holders)]

    @rule(key=few_keys, number=st.integers(0, 9), value=values)
    def register(self, key: Any, number: int, value: Any) -> None:
        pid = self.holder(number)

        async def body() -> None:
            taken = self.of(key) if self.kind == "unique" else []
            if taken:
                with pytest.raises(AlreadyRegistered) as caught:
                    await ask(pid, "register", "reg", key, value)
                assert caught.value.pid == taken[0][1]
                return
            await ask(pid, "register", "reg", key, value)
            if pid.host != "sim/w1":  # H1
                assert (pid, value) in lookup("reg", key)

        taken = self.kind == "unique" and self.of(key)
        self.simulation.run(body)
        if not taken:
            self.model.append([key, pid, value])

    @precondition(lambda self: self.kind == "unique")
    @rule(key=few_keys, host=st.sampled_from(HOSTS), value=values)
    def start_by_name(self, key: Any, host: str, value: Any) -> None:
        taken = self.of(key)

        async def body() -> Pid | None:
            try:
                return await Holder.start(host=host, name=via("reg", key, value))
            except AlreadyStarted as error:
                refused.append(error.pid)
                return None

        refused: list[Pid] = []
        pid = self.simulation.run(body)
        assert refused == [entry[1] for entry in taken]
        if pid is not None:
            self.holders.append(pid)
            self.model.append([key, pid, value])

    @rule(key=few_keys, number=st.integers(0, 9))
    def unregister(self, key: Any, number: int) -> None:
        pid = self.holder(number)
        self.simulation.run(ask, pid, "unregister", "reg", key)
        self.model = [e for e in self.model if not (e[1] == pid and same(e[0], key))]

    @rule(key=few_keys, number=st.integers(0, 9), pattern=st.integers(0, 3))
    def unregister_match(self, key: Any, number: int, pattern: int) -> None:
        pid = self.holder(number)
        self.simulation.run(ask, pid, "unregister_match", "reg", key, pattern)
        self.model = [
            e for e in self.model if not (e[1] == pid and same(e[0], key) and e[2] == pattern)
        ]

    @precondition(lambda self: self.kind == "unique")
    @rule(key=few_keys, number=st.integers(0, 9))
    def update(self, key: Any, number: int) -> None:
        pid = self.holder(number)
        own = [entry for entry in self.of(key) if entry[1] == pid]

        async def body() -> None:
            if not own:
                with pytest.raises(NotRegistered):
                    await ask(pid, "update_value", "reg", key, repr)
                return
            new, old = await ask(pid, "update_value", "reg", key, repr)
            assert (new, old) == (repr(own[0][2]), own[0][2])

        self.simulation.run(body)
        if own:
            own[0][2] = repr(own[0][2])

    @precondition(lambda self: len(self.holders) > 2)
    @rule(number=st.integers(0, 9), host=st.sampled_from(HOSTS))
    def die_and_take_over(self, number: int, host: str) -> None:
        """REG-06: what the dead one held can be registered right after its Down."""
        dead = self.holder(number)
        held = [entry for entry in self.model if entry[1] == dead]
        self.holders.remove(dead)

        async def body() -> Pid:
            cast(dead, "boom")
            await down(dead)
            heir = await Holder.start(host=host)
            for key, _, value in held:
                await ask(heir, "register", "reg", key, value)
            return heir

        heir = self.simulation.run(body)
        self.holders.append(heir)
        self.model = [e for e in self.model if e[1] != dead]
        self.model.extend([key, heir, value] for key, _, value in held)

    @rule(name=st.sampled_from(["w2", "w3"]), again=st.booleans())
    def crash_host(self, name: str, again: bool) -> None:
        address = f"sim/{name}"
        self.simulation.crash_host(name, notice=(0.0, 0.1))
        self.simulation.advance(0.3)
        self.holders = [pid for pid in self.holders if pid.host != address]
        self.model = [entry for entry in self.model if entry[1].host != address]
        self.simulation.restart_host(name)
        if again or not self.holders:
            self.holders.append(self.simulation.run(self._holder, name))

    async def _holder(self, host: str) -> Pid:
        assert me().host == "sim/main"
        return await Holder.start(host=host)

    @invariant()
    def every_host_agrees_with_the_model(self) -> None:
        if not hasattr(self, "simulation"):
            return
        self.simulation.advance(0.1)
        expected = sorted(map(repr, self.model))
        for host in self.simulation.live_hosts():
            hub = host.kernel.tables["registries"]
            table = hub.by_name["reg"]
            assert sorted(repr([e.key, *e.pair]) for e in table) == expected, host.address
            assert not hub._requests
            assert not hub._probes
            assert not hub.sync._open

    @invariant()
    def holders_alone_are_linked_to_the_registry(self) -> None:
        if not hasattr(self, "simulation"):
            return
        holders = {entry[1] for entry in self.model}
        for host in self.simulation.live_hosts():
            owner = host.kernel.tables["registries"].by_name["reg"].owner
            linked = {
                process.pid
                for process in host.kernel.procs.values()
                if owner in (process.links or {})
            }
            assert linked == {pid for pid in holders if pid.host == host.address}


class DuplicateRegistryMachine(RegistryMachine):
    """The same with duplicate keys."""

    kind = "duplicate"


@pytest.mark.parametrize("machine", [TableMachine, UniqueTableMachine])
def test_the_table_is_a_list_of_entries(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


@pytest.mark.parametrize("machine", [RegistryMachine, DuplicateRegistryMachine])
def test_the_registry_of_four_hosts_is_a_list_of_entries(
    machine: type[RuleBasedStateMachine],
) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )
