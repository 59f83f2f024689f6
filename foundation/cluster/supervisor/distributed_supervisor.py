"""DistributedSupervisor: children of the whole cluster, each running once, wherever.

Example::

    class Jobs(DistributedSupervisor):
        on_minority = "stop"

    app = [Jobs.spec(name="jobs", children=[Scheduler.spec()])]  # the same on each node

    pid = await start_child("jobs", Import.spec(file), id=file)
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NoReturn

from foundation.cluster.supervisor.checks import is_name
from foundation.cluster.supervisor.options import ChildOptions, check_minority, records_of
from foundation.cluster.supervisor.records import Record
from foundation.cluster.supervisor.server import SupervisorServer
from foundation.errors import InvalidChildSpec
from foundation.otp.child_spec import ChildSpec
from foundation.otp.supervision import check_limits


class DistributedSupervisor:
    """Supervises children that run once in the cluster, on the node that they belong to.

    List ``spec(name=…)`` in the application of each node that may run children. The nodes agree
    on where each child runs (rendezvous hashing); when a node dies its children start on the
    others, when one joins it gets its share, a few at a time.

    Class attributes, or arguments of ``spec``:

    Attributes:
        children: what runs from the start, as for ``Supervisor``; the same on all nodes, and
            once in the cluster, not once per node. ``child(…)`` adds options to one. Where a
            node starts with another spec for an id, that replaces the one of before, and the
            child starts anew; one that was terminated stays so.
        max_restarts, max_seconds: the restart budget of each child. One that exceeds it is
            quarantined: it is tried again later, and nobody else is touched. So is one that has
            lost five worker hosts within a minute, since it may be what kills them.
        max_moves: how many children of one node may be on their way to others at a time.
        on_minority: what children do on a node that does not see the majority of
            ``ClusterConfig.expected_size``: ``"keep"`` running, so that both sides of a split may
            run a copy of one until it heals; or ``"stop"``, so that there are never two.
    """

    __is_supervisor__ = True

    children: ClassVar[list[Any]] = []
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0
    max_moves: ClassVar[int] = 10
    on_minority: ClassVar[str] = "keep"

    def __init__(self) -> None:
        _refuse_start()

    @classmethod
    async def start_link(cls, *args: Any, **options: Any) -> NoReturn:
        """It is started by a supervisor only: list ``spec(name=…)`` in the application."""
        _refuse_start()

    @classmethod
    def spec(
        cls,
        *,
        name: str,
        children: list[Any] | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        max_moves: int | None = None,
        on_minority: str | None = None,
    ) -> ChildSpec:
        """Return what to list in the application of each node.

        Args:
            name: by which the functions of this module and the other nodes know it.
            children, max_restarts, max_seconds, max_moves, on_minority: as the class attributes.

        Raises:
            InvalidChildSpec: an argument is wrong.
            TypeError: an id is not plain data.
        """
        if not is_name(name):
            raise InvalidChildSpec(
                f"a distributed supervisor needs a name that is text, got {name!r}"
            )
        limits = (
            cls.max_restarts if max_restarts is None else max_restarts,
            cls.max_seconds if max_seconds is None else max_seconds,
        )
        check_limits(*limits)
        moves = cls.max_moves if max_moves is None else max_moves
        if type(moves) is not int or moves < 1:
            raise InvalidChildSpec(f"max_moves must be 1 or more, got {moves!r}")
        policy = cls.on_minority if on_minority is None else on_minority
        check_minority(policy)
        defaults = ChildOptions(limits=limits, on_minority=policy)
        declared: dict[bytes, Record] = {}
        for one in cls.children if children is None else children:
            for key, record in records_of(one, defaults):
                if key in declared:
                    raise InvalidChildSpec(
                        f"duplicate child id {one!r}: two children of a supervisor need two ids"
                    )
                declared[key] = record
        return ChildSpec(
            id=name,
            start=(SupervisorServer, (name, list(declared.items()), limits, policy, moves), {}),
            shutdown=math.inf,
            type="supervisor",
            name=name,
            host="control",
        )


def _refuse_start() -> NoReturn:
    raise InvalidChildSpec(
        "a DistributedSupervisor is started by listing DistributedSupervisor.spec(name=…) in the "
        "application, on each node that is to run children"
    )
