"""Registered names of a node: one authority, a read replica in every host.

The authority is the kernel of the control host (or the only kernel there is). A claim goes to
it and is answered; what it grants it tells every other host. Every host drops the names of a
process the moment it learns of its death, so after a ``Down`` the name is free (PROC-38).

Invariants:
    N1  At the authority a name denotes at most one process.
    N2  A process has at most one name.
    N3  No replica shows a name of a process known dead in that host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.kernel.reports import Notice
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

Granted = Callable[[Pid | None], None]


class Names:
    """The name table of one host."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.authority: str | None = None  # None: this kernel decides
        self._by_name: dict[Any, Pid] = {}
        # Who holds a name on another node; set by the cluster.
        self.elsewhere: Callable[[Any, Any], Pid | None] = lambda name, node: None
        # Told of the names that this host has given to processes it started on other nodes.
        self.learn: Callable[[Any, Pid], None] = lambda name, pid: None
        self.on_change: list[Callable[[Any, Pid | None], None]] = []  # at the authority
        self._claims: dict[int, tuple[Granted, Any, Pid]] = {}  # not answered yet
        self._next_claim = 0
        self._disputed: dict[Any, list[tuple[str, int, Any, Pid]]] = {}

    def lookup(self, name: Any) -> Pid | None:
        """Return who holds *name*, or None."""
        return self._by_name.get(name)

    def items(self) -> list[tuple[Any, Pid]]:
        """Return a copy of the table."""
        return list(self._by_name.items())

    def claim(self, name: Any, pid: Pid, done: Granted) -> None:
        """Claim *name* for the local process *pid*; *done* gets None, or the holder."""
        if self.authority is None:
            holder = self._by_name.get(name)
            if holder is not None and self._gone(holder):
                self._drop(name, holder)
                holder = None
            if holder is not None and holder.host != self._kernel.address:
                claim = self._store(done, name, pid)
                self._dispute(name, holder, (self._kernel.address, claim, name, pid))
                return
            if holder is None:
                self._grant(name, pid)
            done(holder)
            return
        self._kernel.remote.op(self.authority, ("claim", self._store(done, name, pid), name, pid))

    def _store(self, done: Granted, name: Any, pid: Pid) -> int:
        self._next_claim += 1
        self._claims[self._next_claim] = (done, name, pid)
        return self._next_claim

    def authority_up(self) -> None:
        """A new life of the authority knows of no names: claim again what is held or wanted."""
        authority = self.authority
        assert authority is not None
        for number, (_, name, pid) in self._claims.items():
            self._kernel.remote.op(authority, ("claim", number, name, pid))
        for name, pid in self.items():
            if pid.host == self._kernel.address:
                number = self._store(self._lost_to(name, pid), name, pid)
                self._kernel.remote.op(authority, ("claim", number, name, pid))

    def _lost_to(self, name: Any, pid: Pid) -> Granted:
        def done(holder: Pid | None) -> None:
            process = self._kernel.procs.get(pid)
            if holder is None or holder == pid or process is None:
                return
            process.name = None
            self._by_name[name] = holder
            text = f"{process!r} has lost the name {name!r} to {holder!r}"
            self._kernel.driver.report(Notice("error", text))

        return done

    def release(self, name: Any, pid: Pid) -> None:
        """Give up *name* if *pid* (a local process) holds it."""
        held = self._by_name.get(name) == pid
        if held:
            del self._by_name[name]
        if self.authority is None:
            self._kernel.remote.broadcast(("name_down", name, pid))
            self._changed(name, None, held)
        else:
            self._kernel.remote.op(self.authority, ("release", name, pid))

    def forget_process(self, pid: Pid) -> None:
        """Drop the names of a remote process known dead (N3)."""
        for name in [n for n, holder in self._by_name.items() if holder == pid]:
            del self._by_name[name]
            self._changed(name, None)

    def forget_host(self, host: str) -> None:
        """Drop the names of a lost host."""
        for name, pid in [(n, p) for n, p in self._by_name.items() if p.host == host]:
            self._drop(name, pid)
            self._settle(name)

    # At the authority

    def on_claim(self, host: str, claim: int, name: Any, pid: Pid) -> None:
        """Answer the claim of another host."""
        holder = self._by_name.get(name)
        if holder is not None and self._gone(holder):
            self._drop(name, holder)
            holder = None
        if holder is not None and holder.host not in (self._kernel.address, host):
            # Its release may be on its way by another route (PROC-38): ask before refusing.
            self._dispute(name, holder, (host, claim, name, pid))
        elif holder is None:
            self._grant(name, pid)
            self._kernel.remote.op(host, ("granted", claim, None))
        else:
            self._kernel.remote.op(host, ("granted", claim, holder))

    def _dispute(self, name: Any, holder: Pid, claim: tuple[str, int, Any, Pid]) -> None:
        waiting = self._disputed.setdefault(name, [])
        waiting.append(claim)
        if len(waiting) == 1:
            self._kernel.remote.op(holder.host, ("name_probe", name, holder))

    def on_probe(self, host: str, name: Any, pid: Pid) -> None:
        """Say that the local *pid* still holds *name*; a release sent before arrives before."""
        process = self._kernel.procs.get(pid)
        alive = process is not None and process.name == name
        self._kernel.remote.op(host, ("name_probed", name, pid, alive))

    def on_probed(self, host: str, name: Any, pid: Pid, alive: bool) -> None:
        """Settle the claims that waited for a probe."""
        if not alive and self._by_name.get(name) == pid:
            self._drop(name, pid)
        self._settle(name)

    def _settle(self, name: Any) -> None:
        for host, claim, _, pid in self._disputed.pop(name, ()):
            holder = self._by_name.get(name)
            if holder is None and not self._gone(pid):
                self._grant(name, pid)
            if host == self._kernel.address:
                self.on_granted(host, claim, holder)
            else:
                self._kernel.remote.op(host, ("granted", claim, holder))

    def on_release(self, host: str, name: Any, pid: Pid) -> None:
        """A process of another host gave up its name."""
        if self._by_name.get(name) == pid:
            self._drop(name, pid)

    def _grant(self, name: Any, pid: Pid) -> None:
        self._by_name[name] = pid
        self._kernel.remote.broadcast(("name_up", name, pid))
        self._changed(name, pid)

    def _drop(self, name: Any, pid: Pid) -> None:
        del self._by_name[name]
        if self.authority is None:
            self._kernel.remote.broadcast(("name_down", name, pid))
            self._changed(name, None)

    def _changed(self, name: Any, pid: Pid | None, really: bool = True) -> None:
        if really and self.authority is None:
            for told in self.on_change:
                told(name, pid)

    def _gone(self, pid: Pid) -> bool:
        kernel = self._kernel
        if pid.host == kernel.address:
            return pid not in kernel.procs
        return not kernel.remote.reachable(pid)

    # At a replica

    def on_granted(self, host: str, claim: int, holder: Pid | None) -> None:
        """The answer to a claim of ours."""
        known = self._claims.pop(claim, None)
        if known is not None:
            known[0](holder)

    def on_up(self, host: str, name: Any, pid: Pid) -> None:
        """The authority granted *name*."""
        if pid.host != self._kernel.address or pid in self._kernel.procs:
            self._by_name[name] = pid

    def on_down(self, host: str, name: Any, pid: Pid) -> None:
        """The authority dropped *name*."""
        if self._by_name.get(name) == pid:
            del self._by_name[name]
