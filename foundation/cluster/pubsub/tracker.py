"""Presence: who is here, on which topic, with what said about it.

    await Tracker.track("room:1", "ann", {"device": "phone"})
    Tracker.list("room:1")                    # {"ann": [Meta(pid, {"device": "phone"}, ref)]}
    here = Tracker.subscribe("room:1")        # the same, and a PresenceDiff for each change

A key (a user) may be present several times, by several processes (devices). A presence ends with
its process, the process's host or its node; one whose node is only suspected stays. When a
network has split, those beyond the split leave; when it has healed, they join.

Reads are local: they look into a copy that every host has, and never wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from foundation.cluster.pubsub.host import pubsub_of
from foundation.cluster.pubsub.ops import check_text
from foundation.cluster.pubsub.pending import Pending, nothing_to_start
from foundation.cluster.pubsub.presence import Key
from foundation.cluster.pubsub.presences import Place, Presences
from foundation.cluster.pubsub.values import Meta
from foundation.errors import AlreadyTracked, NoProc, NotTracked
from foundation.kernel.codec import dumps, loads
from foundation.kernel.ops import current
from foundation.kernel.peer import bounded
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec

NAME = "presence"
Listing = dict[Key, list[Meta]]
Metas = list[Meta]


class Tracker:
    """The functions of presence, for processes; see the module docstring.

    *name* tells apart uses that have nothing to do with each other; nothing has to be started
    for it. *pid* is a process of this host, by default the one that calls. Changes may be
    awaited: they return when all hosts of all nodes that can be reached have them; not awaited,
    as in a plain ``def`` callback, they take effect soon.

    All raise ``NotInProcess`` outside a process, ``NotInCluster`` in a node of several hosts
    without a cluster, and ``TypeError`` or ``ValueError`` for arguments that are none.
    """

    @staticmethod
    def spec(name: str = NAME) -> ChildSpec:
        """Return a child specification that starts nothing: presence needs no process."""
        check_text("name", name)
        return ChildSpec(id=("tracker", name), start=(nothing_to_start, (), {}))

    @staticmethod
    def track(
        topic: str, key: Key, meta: Any = None, *, pid: Pid | None = None, name: str = NAME
    ) -> Pending:
        """Say that the process is present on *topic* as *key*.

        Args:
            topic: any string.
            key: a string, an integer, bytes, a pid or a tuple of these.
            meta: what is said about it; anything that can be sent.

        Raises:
            AlreadyTracked: it is.
            NoProc: *pid* is no process of this host.
            Unsendable: *meta* cannot be sent.
        """
        return Tracker.track_many([(topic, key, meta)], pid=pid, name=name)

    @staticmethod
    def track_many(
        items: Iterable[tuple[str, Key, Any]], *, pid: Pid | None = None, name: str = NAME
    ) -> Pending:
        """Like ``track`` for many ``(topic, key, meta)``, in one go: all, or none if one is bad."""
        process, presences = _tracked(pid, name)
        mine = presences.mine.get(process.pid, {})
        said: dict[Place, bytes] = {}
        for topic, key, meta in items:
            place = _place(topic, key)
            if place in mine or place in said:
                raise AlreadyTracked(
                    f"{process.pid!r} is tracked as {key!r} on {topic!r} already; "
                    "use Tracker.update to change what is said about it"
                )
            said[place] = bounded(dumps(meta))
        return _put(process, presences, name, said)

    @staticmethod
    def update(
        topic: str, key: Key, meta: Any, *, pid: Pid | None = None, name: str = NAME
    ) -> Pending:
        """Say something else about the process.

        Args:
            meta: the new value, or a function that gets the present one and returns the new.

        Raises:
            NotTracked: it is not tracked there.
            as ``track``, and what the function raises.
        """
        process, presences = _tracked(pid, name)
        place = _place(topic, key)
        known = presences.mine.get(process.pid, {}).get(place)
        if known is None:
            raise NotTracked(
                f"{process.pid!r} is not tracked as {key!r} on {topic!r}; use Tracker.track first"
            )
        value = meta(loads(known[0])) if callable(meta) else meta
        return _put(process, presences, name, {place: bounded(dumps(value))})

    @staticmethod
    def untrack(
        topic: str | None = None,
        key: Key | None = None,
        *,
        pid: Pid | None = None,
        name: str = NAME,
    ) -> Pending:
        """End the presence as *key* on *topic*; without *key* all on it, without both all."""
        process, presences = _tracked(pid, name)
        if topic is not None:
            check_text("topic", topic)
        if key is not None:
            _check_key(key)
            if topic is None:
                raise ValueError(f"untrack() of the key {key!r} needs a topic")
        places = [
            place
            for place in presences.mine.get(process.pid, {})
            if topic in (None, place[0]) and (key is None or key == place[1])
        ]
        return presences.drop(process.pid, places) if places else Pending(done=True)

    @staticmethod
    def list(topic: str, *, name: str = NAME) -> Listing:
        """Return who is present on *topic*: by key, what its processes say."""
        return _presences(topic, name).listing(topic)

    @staticmethod
    def get(topic: str, key: Key, *, name: str = NAME) -> Metas:
        """Return the presences of *key* on *topic*; empty when there are none."""
        _check_key(key)
        return _presences(topic, name).get(topic, key)

    @staticmethod
    def count(topic: str, *, name: str = NAME) -> int:
        """Return how many keys are present on *topic*."""
        return _presences(topic, name).view.count(topic)

    @staticmethod
    def topics(*, name: str = NAME) -> Iterable[str]:
        """Return the topics on which anybody is present, sorted."""
        check_text("name", name)
        return pubsub_of(current()).presences(name).view.topics()

    @staticmethod
    def subscribe(topic: str, *, name: str = NAME) -> Listing:
        """Have this process told of each change on *topic* by a ``PresenceDiff``.

        Returns:
            Who is present now: nothing is missed, and nothing told twice, between this and the
            first diff. (``list`` may be ahead of the diffs that wait in the mailbox.)
        """
        presences = _presences(topic, name)
        process = current()
        pubsub_of(process).watches(process, name, topic)
        return presences.subscribe(topic, process)

    @staticmethod
    def unsubscribe(topic: str, *, name: str = NAME) -> bool:
        """Tell this process no more; False when it was not told."""
        return _presences(topic, name).unsubscribe(topic, current().pid)


def _put(process: Process, presences: Presences, name: str, said: dict[Place, bytes]) -> Pending:
    if not said:
        return Pending(done=True)
    pubsub_of(process).tracked(process, name)
    return presences.put(process.pid, said.items())


def _tracked(pid: Pid | None, name: str) -> tuple[Process, Presences]:
    process = current()
    check_text("name", name)
    presences = pubsub_of(process).presences(name)
    if pid is not None:
        found = process.kernel.procs.get(pid)
        if found is None:
            raise NoProc("noproc", pid, "a presence of a process of this host")
        process = found
    return process, presences


def _presences(topic: str, name: str) -> Presences:
    check_text("topic", topic)
    check_text("name", name)
    return pubsub_of(current()).presences(name)


def _place(topic: str, key: Key) -> Place:
    check_text("topic", topic)
    _check_key(key)
    return topic, key


def _check_key(key: Key) -> None:
    """Refuse keys that could be equal and differ when encoded, or the other way round."""
    if type(key) in (str, int, bytes, Pid):
        return
    if type(key) is not tuple:
        raise TypeError(
            "a presence's key must be a string, an integer, bytes, a pid or a tuple of these, "
            f"got {key!r}"
        )
    for part in key:
        _check_key(part)
