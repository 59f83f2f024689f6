"""Who in one host is told of which topics, for as long as they live."""

from __future__ import annotations

from typing import Any

from foundation.kernel.process import Process
from foundation.kernel.values import Pid

Topic = tuple[str, Any]  # (what of: a registry, a supervisor …, a key in it or what stands for all)


class Audience:
    """The processes of one host by topic, and the topics by process."""

    def __init__(self) -> None:
        self._by_topic: dict[Topic, dict[Pid, None]] = {}
        self._by_pid: dict[Pid, dict[Topic, None]] = {}

    def join(self, process: Process, topic: Topic) -> None:
        """Have *process* told of *topic*, until it ends; idempotent."""
        mine = self._by_pid.get(process.pid)
        if mine is None:
            mine = self._by_pid[process.pid] = {}
            process.add_exit_hook(self._ends)
        mine[topic] = None
        self._by_topic.setdefault(topic, {})[process.pid] = None

    def leave(self, pid: Pid, topic: Topic) -> None:
        """Undo ``join``."""
        found = self._by_topic.get(topic, {})
        found.pop(pid, None)
        if not found:
            self._by_topic.pop(topic, None)
        self._by_pid.get(pid, {}).pop(topic, None)

    def of(self, *topics: Topic) -> dict[Pid, None]:
        """Return who is to be told of any of *topics*, each once."""
        return {pid: None for topic in topics for pid in self._by_topic.get(topic, ())}

    def __bool__(self) -> bool:
        """Whether anybody is to be told of anything."""
        return bool(self._by_topic)

    def _ends(self, process: Process, reason: Any) -> None:
        for topic in list(self._by_pid.get(process.pid, ())):
            self.leave(process.pid, topic)
        self._by_pid.pop(process.pid, None)
