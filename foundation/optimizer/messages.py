"""The messages of the optimizer.

Send those of the first kind to ``"foundation.optimizer"`` of any node: each stands for the
function of the package with that name; the reply is what that returns, or
``foundation.facade.Failed``. Those of the second kind are about one node: send them to
``("foundation.optimizer", node)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.cluster.live_settings import SettingState, read_settings
from foundation.facade import Request
from foundation.optimizer.values import Options, Recommendation

# About the cluster


@dataclass(frozen=True)
class RunOnce(Request[list[Recommendation]]):
    """``run_once``."""

    async def perform(self) -> list[Recommendation]:
        """Run."""
        from foundation.optimizer import functions

        return await functions.run_once()


@dataclass(frozen=True)
class Recommendations(Request[list[Recommendation]]):
    """``recommendations``."""

    async def perform(self) -> list[Recommendation]:
        """Ask."""
        from foundation.optimizer import functions

        return await functions.recommendations()


@dataclass(frozen=True)
class History(Request[list[Recommendation]]):
    """``history``."""

    async def perform(self) -> list[Recommendation]:
        """Ask."""
        from foundation.optimizer import functions

        return await functions.history()


@dataclass(frozen=True)
class GetOptions(Request[Options]):
    """``options``."""

    async def perform(self) -> Options:
        """Ask."""
        from foundation.optimizer import functions

        return await functions.options()


@dataclass(frozen=True)
class SetOptions(Request[Options]):
    """``configure``, with all options."""

    options: Options

    async def perform(self) -> Options:
        """Change them."""
        from dataclasses import fields

        from foundation.optimizer import functions

        changes = {one.name: getattr(self.options, one.name) for one in fields(self.options)}
        return await functions.configure(**changes)


# About a node


@dataclass(frozen=True)
class ReadSettings(Request[dict[str, SettingState]]):
    """The live settings of the node: ``foundation.cluster.live_settings.read_settings``."""

    async def perform(self) -> dict[str, SettingState]:
        """Read."""
        return await read_settings()


@dataclass(frozen=True)
class Tune:
    """Change a live setting on all hosts of the node; the reply is its value, read back.

    Attributes:
        setting: its name.
        value: the new value.
        within: seconds in which ``Confirm`` has to come, else the node changes it back by itself:
            whoever tries a value may die meanwhile. None: it stays.
    """

    setting: str
    value: float
    within: float | None = None


@dataclass(frozen=True)
class Confirm:
    """What was tuned on trial stays."""

    setting: str


@dataclass(frozen=True)
class Remember:
    """Keep for the optimizer's next life what it was told in this one.

    Attributes:
        version: the higher one holds.
        options: of the optimizer.
        kept: live settings that it has changed for good.
        history: the end of its history.
        news: rises with the history, while the version stays.
    """

    version: int
    options: Options
    kept: dict[str, float]
    history: tuple[Recommendation, ...] = ()
    news: int = 0

    @property
    def age(self) -> tuple[int, int]:
        """By which the latest is found."""
        return self.version, self.news


@dataclass(frozen=True)
class Recall:
    """The reply is the latest ``Remember``, or None."""
