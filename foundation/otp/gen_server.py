"""GenServer: the behaviour that most servers are.

Smallest example::

    class Counter(GenServer):
        def init(self, start: int = 0) -> None:
            self.count = start

        def handle_call(self, request, caller):
            match request:
                case "next":
                    self.count += 1
                    return self.count

State lives on the instance; a restart makes a new instance. Callbacks may be ``def`` or
``async def``; while an ``async def`` callback awaits, the server is busy: its other messages
wait, exit signals do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from foundation.errors import BlockingCall, CallExit, CallingSelf
from foundation.kernel import ops
from foundation.kernel.process import CURRENT, Caller
from foundation.kernel.starting import start
from foundation.kernel.values import Pid, Ref
from foundation.otp.child_spec import ChildSpec, make_spec
from foundation.otp.server_process import ServerProcess
from foundation.otp.sys_requests import SysRequest

R = TypeVar("R", covariant=True)


class Call(Generic[R]):
    """Base of typed requests: ``call(server, Deposit(5))`` is known to return an ``R``.

    Example:
        ``@dataclass(frozen=True) class Deposit(Call[int]): amount: int``
    """

    __slots__ = ()


class GenServer:
    """Base class of servers. Override what you need.

    Class options, as keywords of the class statement: ``class Cache(GenServer,
    restart="transient", shutdown=10.0)``; ``id``, ``restart``, ``shutdown``, ``significant``,
    ``isolation`` and ``host`` are the defaults of ``spec``.

    Two further callbacks are optional: a child of a ``DistributedSupervisor`` that moves to
    another node in order (rebalancing, drain, stop) has its ``export_state()`` called, a plain
    ``def``, and ends in the same step; what that returned is given to ``import_state(state)``
    there, after ``init`` and before any message. Without them it begins anew there.
    """

    __spec_options__: ClassVar[Mapping[str, Any]] = {}
    __process_class__: ClassVar[type[ServerProcess]] = ServerProcess

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__()
        cls.__spec_options__ = {**cls.__spec_options__, **options}
        if options:
            cls.spec()  # a wrong option is an error where it is written

    # Callbacks

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set up the state. Runs in the new process; the name is registered already.

        Returns one of:
            None: the server runs.
            ``Ok(timeout=…, continue_=…)`` or ``Continue(x)``: it runs, with that option.
            ``Ignore()``: do not run; the starter gets ``Ignored()``, which is no error.
            ``Fail(reason)``: the start fails with *reason*, nothing is logged.
            ``Stop(reason)``: the start fails with *reason*; linked processes are told.
        Raising is ``Stop`` with a ``Crash``. ``terminate`` is not called for any of these.
        """
        return None

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer *request*.

        Returns one of:
            any value: the reply.
            ``Reply(value, …)``: the reply, with options.
            ``NoReply()``: answered already, or later by ``reply(caller, value)``.
            ``Stop(reason, reply=…)``: ``terminate``, then the reply, then the end.
        Raising ends the server; the caller fails with the same reason.

        A ``match`` without a matching case returns None, which is a reply. So end it with
        ``case _: return super().handle_call(request, caller)``, which raises, or list every
        request there is.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} got the call {request!r} but has no handle_call for it"
        )

    def handle_cast(self, request: Any) -> Any:
        """Act on *request*. Returns None, ``NoReply(…)``, ``Continue(x)`` or ``Stop(…)``."""
        raise NotImplementedError(
            f"{type(self).__qualname__} got the cast {request!r} but has no handle_cast for it"
        )

    def handle_info(self, message: Any) -> Any:
        """Take any other message: ``send``, timers, ``Down``, ``ExitMsg``, ``TIMEOUT``.

        Returns as ``handle_cast``. The default logs the message and goes on.
        """
        from foundation.kernel.reports import Notice

        process = ops.current()
        who = f"{type(self).__qualname__} {process.pid!r}"
        text = f"{who} got an unexpected message: {message!r}"
        process.kernel.driver.report(Notice("warning", text))
        return None

    def handle_continue(self, argument: Any) -> Any:
        """Go on after ``Continue(argument)``, before any message.

        Returns as ``handle_cast``; another ``Continue`` runs before any message, too.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} continued with {argument!r} but has no handle_continue"
        )

    def terminate(self, reason: Any) -> Any:
        """Clean up before the end. The return value is ignored; raising changes the reason.

        Called when a callback stopped or failed, and when the parent ends or stops a server
        that traps exits; not when an exit signal kills it, nor for ``kill``.
        """
        return None

    def format_status(self, status: dict[str, Any]) -> Any:
        """Return what logs and ``sys.get_status`` show of the state; hide secrets here."""
        return status

    # Starting

    @classmethod
    async def start_link(
        cls,
        *args: Any,
        name: Any = None,
        timeout: float | None = None,
        host: str | None = None,
        isolation: str | None = None,
        ship: bool = False,
        **kwargs: Any,
    ) -> Pid:
        """Start a server linked to this process; return its pid when ``init`` has finished.

        Args:
            *args: for ``init``, as **kwargs.
            name: register it under this name, before ``init`` runs.
            timeout: seconds ``init`` may take; None is no limit.
            host: where; None is beside this process; ``"b/worker"``, ``"b/spread"`` or a full
                address for the node ``b`` of the cluster.
            isolation: ``"host"`` gives it an operating-system process of its own.
            ship: send the class by value to a node that cannot import it; that node must accept
                code (``ClusterConfig.accept_code``).

        Returns:
            The pid, or ``Ignored()`` when ``init`` returned ``Ignore()``.

        Raises:
            AlreadyStarted: the name is held; its ``pid`` says by whom.
            StartError: ``init`` failed; its ``reason`` says why.
        """
        pid: Pid = await cls._start(
            args, kwargs, True, name, timeout, host, isolation, ship=ship
        )
        return pid

    @classmethod
    async def start(
        cls,
        *args: Any,
        name: Any = None,
        timeout: float | None = None,
        host: str | None = None,
        isolation: str | None = None,
        ship: bool = False,
        **kwargs: Any,
    ) -> Pid:
        """Start a server without a link; otherwise as ``start_link``."""
        pid: Pid = await cls._start(
            args, kwargs, False, name, timeout, host, isolation, ship=ship
        )
        return pid

    @classmethod
    async def start_monitor(cls, *args: Any, **kwargs: Any) -> tuple[Pid, Ref]:
        """Start a server without a link and monitor it from its first moment.

        (One in another host from the moment its start is known here: when it has ended by then,
        the ``Down`` says ``noproc``.)

        Arguments, and what it raises, as ``start``. When ``init`` returned ``Ignore()`` the
        first item is ``Ignored()``, and no ``Down`` comes.
        """
        refs: list[Ref] = []
        try:
            pid = await cls._start(
                args,
                kwargs,
                False,
                kwargs.pop("name", None),
                kwargs.pop("timeout", None),
                kwargs.pop("host", None),
                kwargs.pop("isolation", None),
                started=lambda pid: refs.append(ops.monitor(pid)),
            )
        except BaseException:
            _forget(refs)
            raise
        if type(pid) is not Pid:
            _forget(refs)
            return pid, ops.current().kernel.new_ref()
        if not refs:  # started in another host
            refs.append(ops.monitor(pid))
        return pid, refs[0]

    @classmethod
    async def _start(
        cls,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        link: bool,
        name: Any,
        timeout: float | None,
        host: str | None,
        isolation: str | None,
        started: Callable[[Pid], None] | None = None,
        ship: bool = False,
    ) -> Any:
        kernel = ops.current().kernel
        return await start(
            cls.__process_class__,
            (cls, kernel.isolate(args), kernel.isolate(kwargs)),
            link=link,
            name=name,
            timeout=timeout,
            where=host,
            isolation=isolation,
            extra=None if link else {"unlinked": True},
            started=started,
            ship=ship,
            what=cls.__qualname__ if name is None else f"{cls.__qualname__} {name!r}",
        )

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification that starts this server under a supervisor.

        Args:
            *args: for ``init``.
            **options: ``id, name, restart, shutdown, type, significant, isolation, host,
                timeout`` are fields of ``ChildSpec``; every other keyword goes to ``init``.

        Raises:
            InvalidChildSpec: an option has a wrong value.
        """
        return make_spec(cls, args, {**cls.__spec_options__, **options})


async def stop(server: Any, reason: Any = "normal", *, timeout: float | None = None) -> None:
    """Stop *server* after the messages it has got; return when it is gone.

    Args:
        server: pid, name or ``Via``.
        reason: what ``terminate`` gets, and the exit reason.
        timeout: seconds to wait; None waits for ever. The server stops in any case.

    Raises:
        NoProc, CallingSelf: as ``call``.
        CallExit: it ended with another reason.
        CallTimeout: it was not gone in time.
    """
    process = CURRENT.get()
    if process is not None and process.kernel.resolve(server) == process.pid:
        raise CallingSelf("calling_self", server, "stop")
    try:
        await ops.system_call(server, SysRequest("stop", (reason,)), timeout=timeout)
    except CallExit as error:
        if error.reason == reason and (type(error) is CallExit or not error.definite):
            ops.current().kernel.counts.calls_failed -= 1  # it ended as it was asked to
            return
        raise


async def multi_call(
    servers: list[Any], request: Any, *, timeout: float | None = 5.0
) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Call all of *servers* at once.

    Args:
        servers: pids, names or ``Via``.
        request: the same for all.
        timeout: seconds to wait for all together; None waits for ever.

    Returns:
        ``([(server, reply)…], [those that are missing, ended or were late…])``, each in the
        order of *servers*.
    """
    process = ops.current()
    if process.kernel.running is process and process.coro is None:
        raise BlockingCall(
            f"multi_call was made in a plain `def` callback of {process!r}; write the callback "
            "as `async def` and await it"
        )
    answers = await asyncio.gather(
        *(
            ops.call_from_task(process.kernel, process.pid, server, request, timeout)
            for server in servers
        ),
        return_exceptions=True,
    )
    replies: list[tuple[Any, Any]] = []
    bad: list[Any] = []
    for server, answer in zip(servers, answers, strict=True):
        if isinstance(answer, CallExit):
            bad.append(server)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            replies.append((server, answer))
    return replies, bad


def abcast(servers: list[Any], request: Any) -> None:
    """Cast *request* to each of *servers*; the missing ones are skipped."""
    for server in servers:
        ops.cast(server, request)


def _forget(refs: list[Ref]) -> None:
    for ref in refs:
        ops.demonitor(ref, flush=True)
