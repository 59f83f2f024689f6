"""The registries of a node as one host sees them, and what hosts tell each other about them.

The table in the host of a registry's process, its *owner*, decides; every other host keeps a
replica, so that reads never leave the host. All operations name the owner's pid: a registry
that was restarted is another one.

    claimant's host                    owner's host                       every other host
      request "register"  ──────────▶  decides; adds the entry  ────────▶  adds it
      ◀── answer, when all have it ──  ◀──────── "reg_synced" ──────────

Invariants:
    H1  What was awaited is visible in every host: ``await register`` and a start with a ``Via``
        from another host return when all hosts have the entry.
    H2  Entries of a process are gone from a host's table before anything in that host is told
        of the process's death (T-25), and claims made after that succeed (REG-06).
    H3  A process that has entries is linked to the registry's process; a host's exit hook tells
        the owner of its death, in order after its registrations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.errors import CodecError, RegistryError, UnknownRegistry, Unsendable
from foundation.kernel.codec import dumps, loads
from foundation.kernel.reports import Notice
from foundation.kernel.values import Pid
from foundation.otp.host_sync import HostSync
from foundation.otp.registry_table import RegistryTable

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.process import Process

Done = Callable[[Any], None]  # gets the outcome, or the error as an exception

TABLE = "registries"  # where a kernel keeps its RegistryHost


class Probe:
    """A claim that waits to hear whether the holder of its key is alive."""

    __slots__ = ("done", "holder", "pid", "retry")

    def __init__(self, holder: Pid, pid: Pid, retry: Callable[[], None], done: Done) -> None:
        self.holder = holder
        self.pid = pid
        self.retry = retry
        self.done = done


class RegistryHost:
    """The registries in one host."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.by_name: dict[Any, RegistryTable] = {}
        self._by_owner: dict[Pid, RegistryTable] = {}
        self._number = 0
        self._requests: dict[int, tuple[Pid, Done]] = {}
        self._probes: dict[int, Probe] = {}
        self.sync = HostSync(kernel)
        kernel.remote.handlers.update(
            {
                "reg_up": self._on_up,
                "reg_gone": self._on_gone,
                "reg_add": self._on_add,
                "reg_del": self._on_del,
                "reg_set": self._on_set,
                "reg_meta": self._on_meta,
                "reg_request": self._on_request,
                "reg_answer": self._on_answer,
                "reg_dead": self._on_dead,
                "reg_probe": self._on_probe,
                "reg_probed": self._on_probed,
            }
        )
        kernel.remote.on_host.append(self._host_changed)
        kernel.remote.on_gone.append(self._died_elsewhere)

    # Registries

    def create(self, process: Process, table: RegistryTable) -> None:
        """Begin to own *table*, of the registry that *process* runs."""
        self._show(table)
        process.add_exit_hook(self._owner_ends)
        self.kernel.remote.broadcast(self._introduction(table))
        for key, value in table.meta_items():
            self._say_meta(table, dumps((key, value)))

    def _introduction(self, table: RegistryTable) -> tuple[Any, ...]:
        return ("reg_up", table.owner, table.name, table.unique, table.partitions)

    def _owner_ends(self, process: Process, reason: Any) -> None:
        table = self._by_owner.get(process.pid)
        if table is not None:
            self.kernel.remote.broadcast(("reg_gone", table.owner))
            self._hide(table)

    def _show(self, table: RegistryTable) -> None:
        self._by_owner[table.owner] = table
        self.by_name[table.name] = table

    def _hide(self, table: RegistryTable) -> None:
        """Forget a registry that has ended, unless a new one has taken its name already."""
        del self._by_owner[table.owner]
        if self.by_name.get(table.name) is table:
            del self.by_name[table.name]
            for other in self._by_owner.values():
                if other.name == table.name:
                    self.by_name[table.name] = other
        unknown = UnknownRegistry(table.name)
        for number, (owner, done) in list(self._requests.items()):
            if owner == table.owner:
                del self._requests[number]
                done(unknown)

    def _on_up(self, host: str, owner: Pid, name: str, unique: bool, partitions: int) -> None:
        isolate = self.kernel.isolate
        if owner not in self._by_owner:
            table = RegistryTable(
                name, owner, unique=unique, partitions=partitions, isolate=isolate
            )
            self._show(table)

    def _on_gone(self, host: str, owner: Pid) -> None:
        table = self._by_owner.get(owner)
        if table is not None:
            self._hide(table)

    # Local processes that register

    def attach(self, pid: Pid, table: RegistryTable, pending: int = 0) -> None:
        """Tie the local *pid* to the registry: link, and exit hook (H3)."""
        process = self.kernel.procs[pid]
        tied: dict[Pid, list[Any]] | None = process.get_extra("registries")
        if tied is None:
            process.set_extra("registries", tied := {})
            process.add_exit_hook(self._holder_ends)
        if table.owner not in tied:
            linked_before = process.links is not None and table.owner in process.links
            tied[table.owner] = [0, linked_before or pid == table.owner]
            self.kernel.signals.link(process, table.owner)
        tied[table.owner][0] += pending

    def detach(self, pid: Pid, table: RegistryTable, pending: int = 0) -> None:
        """Untie *pid*, if it has no entry left and no claim under way."""
        process = self.kernel.procs.get(pid)
        tied = process.get_extra("registries") if process is not None else None
        if process is None or tied is None or table.owner not in tied:
            return
        tied[table.owner][0] -= pending
        if not tied[table.owner][0] and pid not in table:
            if not tied[table.owner][1]:
                self.kernel.signals.unlink(process, table.owner)
            del tied[table.owner]

    def _holder_ends(self, process: Process, reason: Any) -> None:
        """Exit hook of a local process that registered (H2)."""
        for owner in process.get_extra("registries", {}):
            table = self._by_owner.get(owner)
            if table is None:
                continue
            if owner.host == self.kernel.address:
                self._drop(table, process.pid)
            else:
                table.drop(process.pid)
                self.kernel.remote.op(owner.host, ("reg_dead", owner, process.pid))

    # Requests: what only the owner's host may decide

    def request(
        self, table: RegistryTable, verb: str, pid: Pid, args: tuple[Any, ...], done: Done
    ) -> None:
        """Have *verb* done for the local *pid*; *done* gets the outcome, at once or later."""
        if verb == "register":
            self.attach(pid, table, pending=1)
        if table.owner.host == self.kernel.address:
            self._settle(table, verb, pid, self.apply(table, verb, pid, args, done), done)
            return
        try:
            payload = dumps(args)
        except Unsendable:
            self.detach(pid, table, pending=verb == "register")
            raise
        self._number += 1
        self._requests[self._number] = (
            table.owner, lambda outcome: self._settle(table, verb, pid, outcome, done)
        )  # fmt: skip
        self.kernel.remote.op(
            table.owner.host, ("reg_request", self._number, table.owner, verb, pid, payload)
        )

    def decide(self, table: RegistryTable, verb: str, pid: Pid, args: tuple[Any, ...]) -> Any:
        """In the owner's host: do *verb* for the local *pid* now, and return the outcome."""
        pending = verb == "register"
        if pending:
            self.attach(pid, table, pending=1)
        try:
            if pending:
                return self.claim(table, pid, *args)
            return self.apply(table, verb, pid, args, _ignore)
        finally:
            if verb in ("register", "remove"):
                self.detach(pid, table, pending=pending)

    def _settle(
        self, table: RegistryTable, verb: str, pid: Pid, outcome: Any, done: Done
    ) -> None:
        if outcome is LATER:
            return
        if verb in ("register", "remove"):
            self.detach(pid, table, pending=verb == "register")
        done(outcome)

    def _on_request(
        self, host: str, number: int, owner: Pid, verb: str, pid: Pid, payload: bytes
    ) -> None:
        def answer(outcome: Any) -> None:
            refused = isinstance(outcome, RegistryError)
            reply = str(outcome) if refused else outcome
            self.kernel.remote.op(host, ("reg_answer", number, reply, refused))

        table = self._by_owner.get(owner)
        if table is None:
            return  # "reg_gone" is on its way
        try:
            args: Any = loads(payload)
        except CodecError as error:
            answer(RegistryError(str(error)))
            return
        outcome = self.apply(table, verb, pid, args, answer)
        if outcome is None and verb == "register":
            self.sync.all(lambda: answer(None), skip=host)  # H1
        elif outcome is not LATER:
            answer(outcome)

    def _on_answer(self, host: str, number: int, outcome: Any, refused: bool) -> None:
        _, done = self._requests.pop(number, (None, None))
        if done is not None:
            done(RegistryError(outcome) if refused else outcome)

    # At the owner's host

    def apply(
        self, table: RegistryTable, verb: str, pid: Pid, args: tuple[Any, ...], done: Done
    ) -> Any:
        """Carry out *verb* for *pid*; return the outcome, or ``LATER``: *done* will get it."""
        if verb == "register":
            key, value = args
            return self.claim(table, pid, key, value, done)
        if verb == "remove":
            return self.remove(table, pid, *args)
        if verb == "update":
            return self.update(table, pid, *args)
        return self.set_meta(table, *args)

    def claim(
        self,
        table: RegistryTable,
        pid: Pid,
        key: Any,
        value: Any,
        done: Done | None = None,
    ) -> Any:
        """Register *pid*; return None, the holder, or ``LATER`` after asking the holder's host.

        Without *done* it never asks.
        """
        holder = table.holder(key) if table.unique else None
        if holder is not None and self._is_gone(holder):
            self._drop(table, holder)
            holder = None
        if holder is None:
            self._add(table, key, pid, value)
            return None
        if holder.host in (self.kernel.address, pid.host) or done is None:
            return holder
        # Its death may be on its way by another route: ask before refusing (H2).
        self._number += 1
        self._probes[self._number] = Probe(
            holder, pid, lambda: self._retry(table, pid, key, value, done), done
        )
        self.kernel.remote.op(holder.host, ("reg_probe", self._number, holder))
        return LATER

    def _retry(self, table: RegistryTable, pid: Pid, key: Any, value: Any, done: Done) -> None:
        if self._is_gone(pid):
            return
        if self._by_owner.get(table.owner) is not table:
            outcome: Any = UnknownRegistry(table.name)
        else:
            outcome = self.claim(table, pid, key, value)
        if pid.host == self.kernel.address:
            self._settle(table, "register", pid, outcome, done)
        elif outcome is None:
            self.sync.all(lambda: done(None), skip=pid.host)
        else:
            done(outcome)

    def _is_gone(self, pid: Pid) -> bool:
        if pid.host == self.kernel.address:
            return pid not in self.kernel.procs
        return not self.kernel.remote.reachable(pid)

    def _add(self, table: RegistryTable, key: Any, pid: Pid, value: Any) -> None:
        # Packed first: what cannot travel must not be in one table and not in the others.
        payload = dumps((key, value)) if self.kernel.remote.neighbours else b""
        entry = table.add(key, pid, value)
        if payload:
            self.kernel.remote.broadcast(("reg_add", table.owner, entry.id, pid, payload))
        if table.listeners:
            self._tell(table, ("register", table.name, key, pid, value))

    def remove(self, table: RegistryTable, pid: Pid, key: Any, ids: list[int] | None) -> None:
        """Remove the entries of *key*, or those of *ids*, that belong to *pid*."""
        for entry in table.own(key, pid):
            if ids is None or entry.id in ids:
                table.remove(entry.id)
                self.kernel.remote.broadcast(("reg_del", table.owner, entry.id))
                if table.listeners:
                    self._tell(table, ("unregister", table.name, entry.key, pid))

    def update(self, table: RegistryTable, pid: Pid, key: Any, value: Any) -> bool:
        """Set the value of *pid*'s entry of *key*; False when it has none."""
        mine = table.own(key, pid)
        if not mine:
            return False
        payload = dumps(value) if self.kernel.remote.neighbours else b""
        table.update(mine[0].id, value)
        if payload:
            self.kernel.remote.broadcast(("reg_set", table.owner, mine[0].id, payload))
        return True

    def set_meta(self, table: RegistryTable, key: Any, items: list[Any]) -> None:
        """Set the metadata under *key* to the one of *items*; remove it when there is none."""
        payload = dumps((key, *items)) if self.kernel.remote.neighbours else b""
        if items:
            table.put_meta(key, items[0])
        else:
            table.delete_meta(key)
        if payload:
            self._say_meta(table, payload)

    def _say_meta(self, table: RegistryTable, payload: bytes) -> None:
        self.kernel.remote.broadcast(("reg_meta", table.owner, payload))

    def _tell(self, table: RegistryTable, event: tuple[Any, ...]) -> None:
        kernel = self.kernel
        for listener in table.listeners:
            kernel.deliver(listener, kernel.isolate(event))

    def _drop(self, table: RegistryTable, pid: Pid) -> None:
        for entry in table.drop(pid):
            self.kernel.remote.broadcast(("reg_del", table.owner, entry.id))
        for number in [n for n, probe in self._probes.items() if probe.pid == pid]:
            del self._probes[number]

    def _on_dead(self, host: str, owner: Pid, pid: Pid) -> None:
        table = self._by_owner.get(owner)
        if table is not None:
            self._drop(table, pid)

    def _on_probed(self, host: str, number: int, alive: bool) -> None:
        probe = self._probes.pop(number, None)
        if probe is not None:
            if not alive:
                self._died_elsewhere(probe.holder)
            probe.retry()

    # At the other hosts

    def _on_add(self, host: str, owner: Pid, id: int, pid: Pid, payload: bytes) -> None:
        table = self._by_owner.get(owner)
        here = pid.host == self.kernel.address
        if table is not None and not (here and pid not in self.kernel.procs):
            item: Any = loads(payload)
            table.add(item[0], pid, item[1], id)

    def _on_del(self, host: str, owner: Pid, id: int) -> None:
        table = self._by_owner.get(owner)
        if table is not None:
            table.remove(id)

    def _on_set(self, host: str, owner: Pid, id: int, payload: bytes) -> None:
        table = self._by_owner.get(owner)
        if table is not None:
            table.update(id, loads(payload))

    def _on_meta(self, host: str, owner: Pid, payload: bytes) -> None:
        table = self._by_owner.get(owner)
        if table is not None:
            item: Any = loads(payload)
            if len(item) == 2:
                table.put_meta(*item)
            else:
                table.delete_meta(item[0])

    def _on_probe(self, host: str, number: int, pid: Pid) -> None:
        alive = pid in self.kernel.procs
        self.kernel.remote.op(host, ("reg_probed", number, alive))

    # Deaths elsewhere, hosts that come and go

    def _died_elsewhere(self, pid: Pid) -> None:
        """A process of another host is known dead (H2)."""
        for table in self._by_owner.values():
            if table.owner.host == self.kernel.address:
                self._drop(table, pid)
            else:
                table.drop(pid)

    def _host_changed(self, host: str, up: bool) -> None:
        if up:
            self._introduce(host)
            return
        for table in list(self._by_owner.values()):
            if table.owner.host == host:
                self._hide(table)
                continue
            for pid in table.pids(host):
                if table.owner.host == self.kernel.address:
                    self._drop(table, pid)
                else:
                    table.drop(pid)
        self.sync.without(host)
        for number, probe in list(self._probes.items()):
            if probe.holder.host == host:
                self._on_probed(host, number, False)

    def _introduce(self, host: str) -> None:
        """Tell a new host all about the registries of this one."""
        say = self.kernel.remote.op
        for table in self._by_owner.values():
            if table.owner.host != self.kernel.address:
                continue
            say(host, self._introduction(table))
            for item in table.meta_items():
                self._say_snapshot(host, table, ("reg_meta", table.owner), item)
            for entry in table:
                pid, value = entry.pair
                head = ("reg_add", table.owner, entry.id, pid)
                self._say_snapshot(host, table, head, (entry.key, value))

    def _say_snapshot(
        self, host: str, table: RegistryTable, head: tuple[Any, ...], item: tuple[Any, Any]
    ) -> None:
        try:
            self.kernel.remote.op(host, (*head, dumps(item)))
        except Unsendable as error:
            text = f"registry {table.name!r}: {item[0]!r} is not known in {host}: {error}"
            self.kernel.driver.report(Notice("warning", text))


LATER = object()


def _ignore(outcome: Any) -> None:
    """Nobody waits for the outcome."""


def install(kernel: Kernel) -> RegistryHost:
    """Make *kernel* take part in registries; before any other host is met. Idempotent."""
    found: RegistryHost | None = kernel.tables.get(TABLE)
    if found is None:
        found = kernel.tables[TABLE] = RegistryHost(kernel)
    return found
