"""How a node takes part in a cluster."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.cluster.timing import LAN, Timing, is_number
from foundation.errors import ClusterConfigError
from foundation.transport.config import is_loopback

if TYPE_CHECKING:
    from foundation.cluster.modes import Choice, Probes, ResolvedCluster

ALONE = "alone"  # what the names of clusters of one begin with; nobody else has the whole name
MAX_NAME = 1024  # characters; the membership refuses longer ones from others
MAX_LABELS = 64  # the same
MAX_LABELS_BYTES = 1024  # of all keys and values: every piece of news of the node holds them
MAX_SHOWN = 200  # characters of a wrong value in a message
_HOST_NAME = re.compile(r"([\w-]+\.)*(?!\d+\.?$)[\w-]+\.?")  # numbers at the end: no IPv4 address


@dataclass(frozen=True)
class ClusterConfig:
    """The settings of one node's cluster; equal on all nodes but for port, address and labels.

    Attributes:
        name: of the cluster; nodes of another name are refused.
        bind: the IPv4 address, or a host name that has one, that all processes of this node
            listen at; ``"0.0.0.0"`` for all addresses of the machine. A name is looked up when a
            node is started.
        advertise: the IPv4 address or host name that other nodes dial; default *bind*.
        port: of the cluster endpoint, where other nodes first reach this one; 0 takes a free one.
        strategies: discovery strategies (``foundation.cluster.discovery``); None is
            ``Loopback()``: the nodes of this user on this machine.
        labels: by which placement chooses nodes, ``{"zone": "a", "gpu": "yes"}``; up to 64, of
            1 KB together.
        expected_size: how many nodes the cluster has when it is whole; a majority is more than
            half of it. Needed for ``on_minority="stop"``.
        accept_code: take classes and functions that are not importable here, by cloudpickle,
            in starts from other nodes. None: while *bind* is a loopback address, as all nodes are
            then of this machine.
        drain_seconds: how long an orderly stop waits for work to move to other nodes; 0: not.
        timing: of failure detection and take-over.
        unix: Unix-domain sockets between processes of one machine, instead of TCP.
        seed: of everything random; None draws one.

    Raises:
        ClusterConfigError: a setting is wrong; the message names it, what is allowed and what
            was got.
    """

    name: str = "foundation"
    bind: str = "127.0.0.1"
    advertise: str | None = None
    port: int = 0
    strategies: tuple[Any, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    expected_size: int | None = None
    accept_code: bool | None = None
    drain_seconds: float = 5.0
    timing: Timing = LAN
    unix: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_bind(self.bind, self.advertise)
        _check_whole("port", self.port, 0, 65535)
        object.__setattr__(self, "strategies", _checked_strategies(self.strategies))
        object.__setattr__(self, "labels", _checked_labels(self.labels))
        if self.expected_size is not None:
            _check_whole("expected_size", self.expected_size, 1)
        if self.accept_code is not None:
            _check_bool("accept_code", self.accept_code)
        if not is_number(self.drain_seconds) or self.drain_seconds < 0:
            raise _wrong("drain_seconds", "a finite number of 0 or more", self.drain_seconds)
        if not isinstance(self.timing, Timing):
            raise _wrong("timing", "a Timing, as in Timing(probe_interval=1.0)", self.timing)
        _check_bool("unix", self.unix)
        if self.seed is not None and not _is_whole(self.seed):
            raise _wrong("seed", "None or an int", self.seed)

    def node_options(self) -> dict[str, Any]:
        """Return what a node of this cluster is started with; see ``NodeOptions``.

        Raises:
            ClusterConfigError: *bind* is a host name without an IPv4 address.
        """
        from foundation.cluster.attach import new_life

        if not _is_ipv4(self.bind) and not _has_address(self.bind):
            allowed = "an IPv4 address or a host name that has one (it is looked up here)"
            raise _wrong("bind", allowed, self.bind)
        return {
            "bind": self.bind,
            "advertise": self.advertise,
            "unix": self.unix,
            "life": new_life(),
        }

    def attach(self, host: Any) -> Any:
        """Make *host* part of the cluster; called by the runtime in every host of the node."""
        from foundation.cluster.attach import attach

        return attach(self, host)

    @staticmethod
    def resolve(env: Mapping[str, str], settings: Any = None, **more: Any) -> ResolvedCluster:
        """Decide how a node takes part in a cluster; see ``foundation.cluster.modes.resolve``."""
        from foundation.cluster.modes import resolve

        return resolve(env, settings, **more)

    @staticmethod
    def detect(env: Mapping[str, str], probes: Probes | None = None) -> Choice:
        """Return the strategy for where the program runs; see ``foundation.cluster.modes``."""
        from foundation.cluster.modes import detect

        return detect(env, probes)

    @staticmethod
    def translate(keyword: str, **options: Any) -> tuple[Any, ...]:
        """Return the strategies that *keyword* stands for; see ``foundation.cluster.modes``."""
        from foundation.cluster.modes import translate

        return translate(keyword, **options)

    @staticmethod
    def validate(settings: Any, env: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Check what is to be passed as ``cluster=``; see ``foundation.cluster.modes``."""
        from foundation.cluster.modes import validate

        return validate(settings, env)

    @property
    def alone(self) -> bool:
        """Whether this is the cluster of one of a node that is alone."""
        return self.strategies == () and self.name.startswith(f"{ALONE}-")

    @property
    def accepts_code(self) -> bool:
        """Whether starts from other nodes may bring their own classes."""
        return is_loopback(self.bind) if self.accept_code is None else self.accept_code

    @property
    def majority(self) -> int | None:
        """How many nodes are a majority; None when no size is expected."""
        return None if self.expected_size is None else self.expected_size // 2 + 1


def _wrong(field: str, allowed: str, got: Any) -> ClusterConfigError:
    shown = repr(got)
    if len(shown) > MAX_SHOWN:
        shown = f"{shown[: MAX_SHOWN - 3]}..."
    return ClusterConfigError(field, f"{field} must be {allowed}, got {shown}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    """Whether *value* is a string that can be sent: one without lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_whole(field: str, value: Any, least: int, most: int | None = None) -> None:
    if _is_whole(value) and value >= least and (most is None or value <= most):
        return
    allowed = f"None or an int of {least} or more"
    if most is not None:
        allowed = f"an int of {least} to {most}"
    raise _wrong(field, allowed, value)


def _check_bool(field: str, value: Any) -> None:
    if not isinstance(value, bool):
        none = "None, " if field == "accept_code" else ""
        raise _wrong(field, f"{none}True or False", value)


def _check_name(name: Any) -> None:
    if not _is_text(name) or not 0 < len(name) <= MAX_NAME:
        allowed = f"a non-empty string of at most {MAX_NAME} characters that UTF-8 can encode"
        raise _wrong("name", allowed, name)


def _check_bind(bind: Any, advertise: Any) -> None:
    _check_host("bind", bind, "127.0.0.1")
    if not _is_ipv4(bind) and not _HOST_NAME.fullmatch(bind):
        raise _wrong("bind", "an IPv4 address or a host name that has one", bind)
    if advertise is not None:
        from foundation.cluster.discovery.addresses import parse_address

        _check_host("advertise", advertise, "10.0.0.7")
        try:
            parse_address(advertise, 1)
        except ValueError as error:
            raise ClusterConfigError("advertise", f"advertise: {error}") from None
    elif bind == "0.0.0.0":
        raise ClusterConfigError(
            "bind", "bind='0.0.0.0' needs advertise=: the address that other nodes dial"
        )


def _check_host(field: str, host: Any, example: str) -> None:
    if not isinstance(host, str) or not host:
        none = "None, " if field == "advertise" else ""
        raise _wrong(field, f"{none}an IPv4 address or a host name, as in {example!r}", host)
    if host.count(":") > 1:
        raise _wrong(field, "an IPv4 address or a host name; only IPv4 is supported", host)
    if ":" in host:
        raise _wrong(field, "an address without a port, which is what port= is for", host)


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _has_address(name: str) -> bool:
    """Whether a host name has an IPv4 address; it is looked up."""
    try:
        socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, ValueError):  # ValueError: it is no name that could be looked up
        return False
    return True


def _checked_strategies(strategies: Any) -> tuple[Any, ...] | None:
    if strategies is None:
        return None
    from foundation.cluster.discovery.protocol import Strategy  # a node alone does without

    allowed = "None or a tuple of discovery strategies"
    if not isinstance(strategies, (tuple, list)):
        if isinstance(strategies, Strategy) and not isinstance(strategies, type):
            kind = type(strategies).__name__
            allowed += f": for this one write strategies=({kind}(...),), with the comma"
        raise _wrong("strategies", allowed, strategies)
    for each in strategies:
        if isinstance(each, type):
            raise ClusterConfigError(
                "strategies",
                f"strategies must be objects, got the class {each.__qualname__}; write "
                f"{each.__name__}(...)"
            )
        if not isinstance(each, Strategy):
            needed = ("name", "start", "discover", "close")
            lacks = ", ".join(name for name in needed if not hasattr(each, name))
            allowed += f" (foundation.cluster.discovery); one has no {lacks}"
            raise _wrong("strategies", allowed, each)
    return tuple(strategies)


def _checked_labels(labels: Any) -> dict[str, str]:
    if not isinstance(labels, Mapping):
        raise _wrong("labels", 'a dict of strings, as in {"zone": "a"}', labels)
    found = dict(labels)
    for pair in found.items():
        if not all(map(_is_text, pair)):
            raise _wrong("labels", 'a dict of strings, as in {"zone": "a"}', dict([pair]))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in found.items())
    if len(found) > MAX_LABELS or size > MAX_LABELS_BYTES:
        raise ClusterConfigError(
            "labels",
            f"labels may be at most {MAX_LABELS} of {MAX_LABELS_BYTES} bytes together, "
            f"got {len(found)} of {size} bytes"
        )
    return found
