"""OTP for Python: GenServer, Supervisor, DynamicSupervisor, Registry, Task, Agent, ``sys``.

    from foundation.otp import Call, GenServer, Stop, Supervisor, call

The functions work inside processes, that is in callbacks and in functions run by ``spawn`` or
``Task``; a program outside uses the methods of its node (``foundation.start``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from foundation.errors import (
    AlreadyPresent,
    AlreadyRegistered,
    AlreadyStarted,
    BlockingCall,
    CallExit,
    CallingSelf,
    CallTimeout,
    ChildError,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Exit,
    FoundationError,
    HostUnavailable,
    InvalidChildSpec,
    MaxChildren,
    NameTaken,
    NoConnection,
    NoProc,
    NotInProcess,
    NotRegistered,
    NotUnique,
    RegistryError,
    StartError,
    SysError,
    UnknownRegistry,
    Unsendable,
    WouldDeadlock,
)
from foundation.kernel.ops import (
    alias,
    alive,
    cancel_timer,
    cast,
    demonitor,
    exit,
    link,
    me,
    monitor,
    process_info,
    receive,
    register,
    reply,
    send,
    send_after,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unalias,
    unlink,
    unregister,
    whereis,
)
from foundation.kernel.process import Caller
from foundation.kernel.reports import CrashReport, Notice, SupervisorReport
from foundation.kernel.timers import Timer
from foundation.kernel.values import (
    TIMEOUT,
    Alias,
    BadReturn,
    Crash,
    Down,
    ExitMsg,
    Pid,
    Ref,
    Shutdown,
    is_clean,
)
from foundation.otp import registry, sys
from foundation.otp.agent import Agent
from foundation.otp.child_spec import ChildSpec, child_spec
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.gen_server import Call, GenServer, abcast, multi_call, stop
from foundation.otp.partition_supervisor import PartitionSupervisor, partition
from foundation.otp.registry import Registry
from foundation.otp.results import Continue, Fail, Ignore, Ignored, NoReply, Ok, Reply, Stop
from foundation.otp.supervision import ChildCounts, ChildInfo, DynamicFlags, SupFlags
from foundation.otp.supervisor import Supervisor
from foundation.otp.task import Exited, Result, Task
from foundation.otp.task_stream import TaskStream
from foundation.otp.task_supervisor import TaskSupervisor
from foundation.otp.thespian_actor import ThespianActor
from foundation.otp.via import Via, via

_R = TypeVar("_R")

if TYPE_CHECKING:

    # As ``async def``, since mypy infers most from these (``asyncio.gather(call(...), ...)``).
    @overload
    async def call(server: Any, request: Call[_R], *, timeout: float | None = 5.0) -> _R: ...
    @overload
    async def call(server: Any, request: object, *, timeout: float | None = 5.0) -> Any: ...
    async def call(server: Any, request: Any, *, timeout: float | None = 5.0) -> Any:
        """See ``foundation.kernel.ops.call``; a ``Call[R]`` request is known to return an R."""

else:
    from foundation.kernel.ops import call

__all__ = [
    "TIMEOUT",
    "Agent",
    "Alias",
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "BadReturn",
    "BlockingCall",
    "Call",
    "CallExit",
    "CallTimeout",
    "Caller",
    "CallingSelf",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "Continue",
    "Crash",
    "CrashReport",
    "Down",
    "DynamicFlags",
    "DynamicSupervisor",
    "Exit",
    "ExitMsg",
    "Exited",
    "Fail",
    "FoundationError",
    "GenServer",
    "HostUnavailable",
    "Ignore",
    "Ignored",
    "InvalidChildSpec",
    "MaxChildren",
    "NameTaken",
    "NoConnection",
    "NoProc",
    "NoReply",
    "NotInProcess",
    "NotRegistered",
    "NotUnique",
    "Notice",
    "Ok",
    "PartitionSupervisor",
    "Pid",
    "Ref",
    "Registry",
    "RegistryError",
    "Reply",
    "Result",
    "Shutdown",
    "StartError",
    "Stop",
    "SupFlags",
    "Supervisor",
    "SupervisorReport",
    "SysError",
    "Task",
    "TaskStream",
    "TaskSupervisor",
    "ThespianActor",
    "Timer",
    "UnknownRegistry",
    "Unsendable",
    "Via",
    "WouldDeadlock",
    "abcast",
    "alias",
    "alive",
    "call",
    "cancel_timer",
    "cast",
    "child_spec",
    "demonitor",
    "exit",
    "is_clean",
    "link",
    "me",
    "monitor",
    "multi_call",
    "partition",
    "process_info",
    "receive",
    "register",
    "registry",
    "reply",
    "send",
    "send_after",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "stop",
    "sys",
    "trap_exit",
    "unalias",
    "unlink",
    "unregister",
    "via",
    "whereis",
]
