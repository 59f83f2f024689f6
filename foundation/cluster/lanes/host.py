"""The lanes of one host.

    sender                                       receiver
      lane_ask (where I am) ──── ordinary ────▶
      ◀──── ordinary ──── lane_at (where I am)
      chunks ──────── a connection of their own ────────▶ message, delivered
      ◀──────────────────────── credit

Each host that uses lanes listens at one more port; ``LaneWire`` is how, and tells of lost
connections. Without one, chunks go the ordinary way, as operations of the kernel: bounded by the
same credit, but in the same queue.

Whatever ends the ordinary connection with a host (its death, the loss of a frame) ends the lanes
with it, too: all they hold is freed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

from foundation.cluster.lanes.machine import (
    BACKLOG,
    Chunk,
    Credit,
    Incoming,
    Outgoing,
    Payload,
    Probe,
    Refusal,
    Whole,
    Word,
)
from foundation.cluster.lanes.values import LaneState
from foundation.errors import CodecError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.peer import MAX_PAYLOAD
from foundation.kernel.reports import Notice

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "lanes"  # where a kernel keeps its Lanes
TURN = 64 * 1024  # bytes that are delivered in one turn of the loop, or a single message
PROBE_SECONDS = 1.0  # that a sender waits for credit before it asks
PROBES = 10  # that are not answered before it tries the ordinary way

Take = Callable[[str, bytes, list[bytes]], None]  # (host, head, parts of the message)


class LaneWire(Protocol):
    """Carries chunks to other hosts, in order, and says when it has lost some.

    Attributes:
        address: where others reach this host.
        on_message: called with ``(address, payload)``.
        on_lost: called with the address of a peer whose connection broke, or never came about;
            and for each payload that was not carried, with it.
    """

    address: str
    on_message: Callable[[str, bytes], None]
    on_lost: Callable[[str, bytes], None]

    def send(self, address: str, payload: bytes) -> None:
        """Send *payload*; never blocks or fails."""

    def drop(self, address: str) -> None:
        """Give up the connection with *address*."""

    def close(self) -> None:
        """Release everything."""


class _Lane:
    """What this host shares with one other host.

    Attributes:
        address: of its wire; "" when it has none.
        known: whether it has said so.
        proven: whether anything has come over the wire.
        probes: asked in a row, with no answer.
        ordinary: it is done without wires, for good.
    """

    __slots__ = (
        "address", "asked", "incoming", "known", "ordinary", "outgoing", "probes", "proven",
        "pumping",
    )  # fmt: skip

    def __init__(self, session: int) -> None:
        self.address = ""
        self.asked = self.known = self.ordinary = self.proven = self.pumping = False
        self.probes = 0
        self.outgoing = Outgoing(session)
        self.incoming = Incoming(BACKLOG + MAX_PAYLOAD)


class Lanes:
    """See the module docstring.

    Args:
        kernel: of this host.
        open_wire: makes the wire when it is first needed; None where there is none.

    Attributes:
        bytes_out: what went over connections of their own.
    """

    def __init__(self, kernel: Kernel, open_wire: Callable[[], LaneWire] | None = None) -> None:
        self.kernel = kernel
        self.take: Take = lambda host, head, parts: None
        self._open_wire = open_wire
        self._wire: LaneWire | None = None
        self._lanes: dict[str, _Lane] = {}
        self._at: dict[str, str] = {}  # address of a wire -> host
        self._sessions = 0
        self._ready: deque[tuple[str, _Lane, Whole]] = deque()
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._probing = False
        self.bytes_out = 0
        self._gone = [0, 0, 0]  # messages sent, dropped and lost on lanes that are no more
        kernel.tables[TABLE] = self
        remote = kernel.remote
        remote.handlers["lane_ask"] = self._on_ask
        remote.handlers["lane_at"] = self._on_at
        remote.handlers["lane"] = self._on_operation
        remote.foreign.on_down.append(self._drop)
        remote.on_host.append(lambda host, up: None if up else self._drop(host))

    # Sending

    def send(self, host: str, stream: Hashable, head: bytes, payload: Payload) -> bool:
        """Send a message to *host*; False when that has no room for it now, or is not up."""
        if host not in self.kernel.remote.peers:
            return False
        lane = self._lane(host)
        if not lane.asked:
            lane.asked = True
            self.kernel.remote.op(host, ("lane_ask", self._address()))
            self._probe_later()
        found = lane.outgoing.offer(stream, head, payload)
        if not found and lane.outgoing.dropped == 1:
            self._complain(host)
        self._pump(host, lane)
        return found

    def _complain(self, host: str) -> None:
        text = (
            f"bulk messages to {host} are dropped: {BACKLOG} bytes wait for it already; "
            "await drained() between messages to send no faster than they are taken"
        )
        self.kernel.driver.report(Notice("warning", text))

    def _pump(self, host: str, lane: _Lane) -> None:
        if not lane.known or lane.pumping:
            return
        while (chunk := lane.outgoing.take()) is not None:
            self._say(host, lane, chunk.encode())
            if chunk.deflated and lane.outgoing.ready:
                lane.pumping = True  # compressing takes time: others get a turn of the loop
                self.kernel.driver.call_soon(lambda: self._pump_on(host, lane))
                break
        if lane.outgoing.under_way:
            self._probe_later()
        if self._waiting:
            self._look_at_waiting()

    def _probe_later(self) -> None:
        if not self._probing:
            self._probing = True
            self.kernel.later(PROBE_SECONDS, self._probe)

    def _probe(self) -> None:
        """Ask those who have said nothing for a while."""
        self._probing = False
        for host, lane in list(self._lanes.items()):
            probe = lane.outgoing.probe()
            if probe is not None:
                lane.probes += 1
                if lane.probes > PROBES and lane.address:
                    self._do_without_wire(host, lane)
                    self._restart(host, lane)
                self._say(host, lane, _encode(probe))
            if probe is not None or (lane.asked and not lane.known):
                # It may have forgotten this host, or not have heard of it: the word was lost.
                self.kernel.remote.op(host, ("lane_ask", self._address()))
            if lane.outgoing.under_way or not lane.known:
                self._probe_later()

    def _pump_on(self, host: str, lane: _Lane) -> None:
        lane.pumping = False
        if self._lanes.get(host) is lane:
            self._pump(host, lane)

    def _say(self, host: str, lane: _Lane, data: bytes) -> None:
        if self.kernel.remote.foreign.is_muted(host):
            return
        if lane.address and self._wire is not None:
            self.bytes_out += len(data)
            self._wire.send(lane.address, data)
        else:
            self.kernel.remote.op(host, ("lane", data))

    def when_below(self, size: int, done: Callable[[], None]) -> Callable[[], None]:
        """Call *done* when no lane has *size* bytes or more waiting; return how to forget that."""
        entry = (size, done)
        self._waiting.append(entry)
        self._look_at_waiting()
        return lambda: self._waiting.remove(entry) if entry in self._waiting else None

    def _look_at_waiting(self) -> None:
        most = max((lane.outgoing.backlog for lane in self._lanes.values()), default=0)
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if most < entry[0]:
                entry[1]()
            else:
                self._waiting.append(entry)

    def states(self) -> list[LaneState]:
        """Describe the lanes, in the order of the hosts; first those that are no more."""
        found = [LaneState("", False, 0, *self._gone)] if any(self._gone) else []
        for host, lane in sorted(self._lanes.items()):
            out, separate = lane.outgoing, bool(lane.address and self._wire is not None)
            found.append(LaneState(host, separate, out.backlog, out.sent, out.dropped, out.lost))
        return found

    # Finding each other

    def _lane(self, host: str) -> _Lane:
        lane = self._lanes.get(host)
        if lane is None:
            self._sessions += 1
            lane = self._lanes[host] = _Lane(self._sessions)
        return lane

    def _address(self) -> str:
        if self._wire is None and self._open_wire is not None:
            try:
                self._wire = self._open_wire()
            except Exception as error:  # no port, no descriptors: there is another way
                self.kernel.driver.report(
                    Notice("warning", f"bulk has no connections of its own: {error}")
                )
                self._open_wire = None
            else:
                self._wire.on_message = self._on_wire
                self._wire.on_lost = self._on_lost
        return self._wire.address if self._wire is not None else ""

    def _on_ask(self, host: str, address: str) -> None:
        mine = self._address()
        self._met(host, self._lane(host), address if mine else "")
        self.kernel.remote.op(host, ("lane_at", mine))

    def _on_at(self, host: str, address: str) -> None:
        lane = self._lanes.get(host)
        if lane is not None:
            self._met(host, lane, address if self._wire is not None else "")

    def _met(self, host: str, lane: _Lane, address: str) -> None:
        lane.known = True
        if address and not lane.ordinary:
            lane.address = address
            self._at[address] = host
        self._pump(host, lane)

    # Losing each other

    def _drop(self, host: str) -> None:
        """*host* is down, or what was under way between it and this one is lost."""
        lane = self._lanes.pop(host, None)
        if lane is None:
            return
        out = lane.outgoing
        counts = (out.sent, out.dropped, out.lost + out.waiting)
        self._gone = [a + b for a, b in zip(self._gone, counts, strict=True)]
        if lane.address:
            self._at.pop(lane.address, None)
            if self._wire is not None:
                self._wire.drop(lane.address)
        if self._waiting:
            self.kernel.driver.call_soon(self._look_at_waiting)

    def _on_lost(self, address: str, payload: bytes) -> None:
        host = self._at.get(address)
        lane = self._lanes.get(host) if host is not None else None
        if host is None or lane is None or not self._is_present(lane, payload):
            return
        if lane.proven:
            lane.proven = False
        else:  # it cannot be reached so
            self._do_without_wire(host, lane)
        self._restart(host, lane)

    def _do_without_wire(self, host: str, lane: _Lane) -> None:
        self._at.pop(lane.address, None)
        lane.address, lane.probes, lane.ordinary = "", 0, True
        text = f"no connection of its own for bulk to {host}: it goes the ordinary way"
        self.kernel.driver.report(Notice("warning", text))

    def _is_present(self, lane: _Lane, payload: bytes) -> bool:
        """Whether the loss of *payload* says something about the present session."""
        if not lane.outgoing.under_way:
            return False
        if not payload:
            return True
        try:
            word = _decode(payload)
        except CodecError:
            return False
        return isinstance(word, Chunk) and word.session == lane.outgoing.session

    def _restart(self, host: str, lane: _Lane) -> None:
        self._sessions += 1
        lane.outgoing.restart(self._sessions)
        self.kernel.driver.call_soon(lambda: self._pump_on(host, lane))

    # Receiving

    def _on_wire(self, address: str, data: bytes) -> None:
        host = self._at.get(address)
        lane = self._lanes.get(host) if host is not None else None
        if host is None or lane is None or self.kernel.remote.foreign.is_muted(host):
            return
        lane.proven = True
        self._received(host, lane, data)

    def _on_operation(self, host: str, data: bytes) -> None:
        lane = self._lanes.get(host)
        if lane is not None:
            if lane.address:  # the other side does without
                self._do_without_wire(host, lane)
            self._received(host, lane, data)

    def _received(self, host: str, lane: _Lane, data: bytes) -> None:
        """Take what came: a chunk, or the word of the other side."""
        lane.probes = 0
        try:
            word = _decode(data)
        except CodecError as error:
            self.kernel.driver.report(Notice("error", f"a lane from {host}: {error}"))
            return
        if isinstance(word, Chunk):
            self._take(host, lane, word)
        elif isinstance(word, Credit):
            lane.outgoing.credited(word.session, word.total)
            self._pump(host, lane)
        elif isinstance(word, Probe):
            self._answer(host, lane, lane.incoming.probed(word))
        elif word.session == lane.outgoing.session:
            self._restart(host, lane)

    def _take(self, host: str, lane: _Lane, chunk: Chunk) -> None:
        outcome = lane.incoming.take(chunk)
        if isinstance(outcome, Whole):
            self._ready.append((host, lane, outcome))
            if len(self._ready) == 1:
                self.kernel.driver.call_soon(self._deliver)
        else:
            self._answer(host, lane, outcome)

    def _answer(self, host: str, lane: _Lane, word: Word | None) -> None:
        if word is not None:
            self._say(host, lane, _encode(word))

    def _deliver(self) -> None:
        """Deliver a little of what is complete; decoding it takes time, so others get turns."""
        if self.kernel.closed:
            return
        size = 0
        while self._ready and size < TURN:
            host, lane, whole = self._ready.popleft()
            if self._lanes.get(host) is lane:
                size += whole.size
                self.kernel.turn(self._deliver_one, host, lane, whole)
        if self._ready:
            self.kernel.driver.call_soon(self._deliver)

    def _deliver_one(self, host: str, lane: _Lane, whole: Whole) -> None:
        try:
            self.take(host, whole.head, whole.parts)
        except Exception as error:  # the messages after it are no worse for it
            self.kernel.driver.report(Notice("warning", f"a bulk message from {host}: {error}"))
        self._answer(host, lane, lane.incoming.delivered(whole))

    def close(self) -> None:
        """The host ends."""
        self._lanes.clear()
        self._ready.clear()
        if self._wire is not None:
            self._wire.close()


_WORD = b"\xff"  # begins what is no chunk: the numbers of sessions are small
_WORDS: tuple[type[Word], ...] = (Credit, Refusal, Probe)


def _encode(word: Word) -> bytes:
    fields = [getattr(word, name) for name in word.__slots__]
    return _WORD + dumps([_WORDS.index(type(word)), *fields])


def _decode(data: bytes) -> Chunk | Word:
    """Return what *data* is.

    Raises:
        CodecError: it is neither a chunk nor a word.
    """
    if data[:1] != _WORD:
        return Chunk.decode(data)
    try:
        fields: Any = loads(data[1:])
        word: Word = _WORDS[fields[0]](*fields[1:])
        return word
    except (TypeError, ValueError, IndexError) as error:
        raise CodecError(f"no word of a lane: {error}") from None


def install_lanes(kernel: Kernel, open_wire: Callable[[], LaneWire] | None = None) -> Lanes:
    """Give *kernel* lanes."""
    return Lanes(kernel, open_wire)


def lanes_of(kernel: Kernel) -> Lanes:
    """Return the lanes of a kernel."""
    found: Lanes = kernel.tables[TABLE]
    return found
