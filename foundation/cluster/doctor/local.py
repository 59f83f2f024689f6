"""What can be found out on this machine alone."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.cluster.discovery import MulticastDNS, UdpGossip
from foundation.cluster.doctor.findings import Finding, ok, problem, warning
from foundation.errors import CookieError
from foundation.transport.config import is_loopback
from foundation.transport.cookie import (
    ENVIRONMENT,
    FILE_ENVIRONMENT,
    cookie_path,
    find_cookie,
)

MULTICAST_SECONDS = 0.5
PRIVATE_GROUP = ("239.255.45.93", 0)  # beside that of gossip, so that nobody else hears of it


def check_cookie(
    given: bytes | None, config: ClusterConfig
) -> tuple[Finding, bytes | None]:
    """Look for the cookie; return it, too, where it is good.

    None is generated. Where a node would do that, one that nobody has is returned: nodes of other
    users then say that it is wrong, which it will be.
    """
    path = cookie_path()
    source = _cookie_source(given)
    try:
        cookie, explicit = find_cookie(given)
        if cookie is None and (denied := _denied(path)) is not None:
            raise CookieError(f"cannot create the cookie file {path}: {denied} cannot be written")
    except CookieError as error:
        advice = f"mend that, or set {ENVIRONMENT} (openssl rand -hex 32), the same on all nodes"
        return problem("cookie", str(error), advice), None
    if explicit and cookie is not None:
        return _explicit(source or "", len(cookie)), cookie
    if cookie is None:
        cookie = secrets.token_bytes(32)
        text = f"none yet: the first node of this user that starts generates it: {path}"
    else:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = f"the one generated for this user: {path}, mode {mode:04o}"
    if is_loopback(config.bind):
        return ok("cookie", f"{text}; good for nodes of this user on this machine"), cookie
    advice = f"set {ENVIRONMENT} or {FILE_ENVIRONMENT} to one of your own, the same on all nodes"
    return problem("cookie", f"{text}; other machines do not have it", advice), None


def _denied(path: Path) -> Path | None:
    """Return the directory that keeps *path* from being made, or None."""
    nearest = next(each for each in path.absolute().parents if each.exists())
    good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return None if good else nearest


def _cookie_source(given: bytes | None) -> str | None:
    if given is not None:
        return "--cookie-file"
    for name in (ENVIRONMENT, FILE_ENVIRONMENT):
        if os.environ.get(name):
            return name
    return None


def _explicit(source: str, size: int) -> Finding:
    text = f"{size} bytes, from {source}"
    if source == FILE_ENVIRONMENT:
        path = Path(os.environ[FILE_ENVIRONMENT])
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IROTH:
            text = f"{text}: {path}, mode {mode:04o}, anybody can read it"
            advice = f"chmod 600 {path}, unless it is mounted for this program alone"
            return warning("cookie", text, advice)
    return ok("cookie", text)


def check_address(config: ClusterConfig, remote: bool) -> list[Finding]:
    """Check what the node would listen at, and what others would dial.

    Args:
        config: of the cluster.
        remote: nodes of other machines are meant to be found.
    """
    found = [_check_bind(config, remote)]
    advertised = config.advertise
    if advertised is None:
        return found
    try:
        ip = socket.getaddrinfo(advertised, None, socket.AF_INET)[0][4][0]
    except OSError as error:
        text = f"advertise {advertised!r} does not resolve here: {error.strerror or error}"
        advice = "others will not find it either, unless their DNS knows more; use an IPv4 address"
        return [*found, warning("advertise", text, advice)]
    if is_loopback(str(ip)) and not is_loopback(config.bind):
        text = f"advertise {advertised!r} is {ip}, where every machine finds only itself"
        return [*found, problem("advertise", text, "set advertise to what other machines dial")]
    return [*found, ok("advertise", f"others dial {advertised} ({ip})")]


def _check_bind(config: ClusterConfig, remote: bool) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((config.bind, 0))
        except OSError as error:
            text = f"cannot listen at {config.bind!r}: {error.strerror or error}"
            advice = "set bind (FOUNDATION_BIND) to an address of this machine, as `ip addr` shows"
            return problem("bind", text, advice)
    if is_loopback(config.bind) and remote:
        text = f"the node listens at {config.bind}, which other machines cannot reach"
        advice = "leave bind out, or set FOUNDATION_BIND to an address that they can reach"
        return problem("bind", text, advice)
    return ok("bind", f"the node can listen at {config.bind}")


def port_state(config: ClusterConfig) -> tuple[str, str]:
    """Return ``"free"``, ``"used"`` or ``"denied"`` for the cluster's port, and a text."""
    if config.port == 0:
        return "free", "a free one is taken at each start"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.bind, config.port))
            probe.listen(1)
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            text = f"port {config.port} of {config.bind}: {error.strerror or error}"
            return "used" if used else "denied", text
    return "free", f"port {config.port} of {config.bind} is free"


def check_multicast(strategies: tuple[Any, ...]) -> list[Finding]:
    """Send a datagram by multicast on each interface that a strategy would use, and hear it."""
    interfaces: dict[str, None] = {}
    for strategy in strategies:
        if isinstance(strategy, MulticastDNS):
            interfaces.update(dict.fromkeys(strategy.interfaces or ("0.0.0.0",)))
        elif isinstance(strategy, UdpGossip) and _multicasts(strategy):
            interfaces[strategy.interface] = None
    return [_multicast(each) for each in interfaces if ":" not in each]


def _multicasts(gossip: UdpGossip) -> bool:
    return any(224 <= int(target.partition(".")[0]) <= 239 for target in gossip.targets)


def _multicast(interface: str) -> Finding:
    where = "the default interface" if interface == "0.0.0.0" else interface
    advice = (
        "there is no multicast here, as in many containers and clouds: use dns, kubernetes or "
        "static, or gossip with targets"
    )
    try:
        heard = _hears_itself(interface)
    except OSError as error:
        return problem("multicast", f"{where}: {error.strerror or error}", advice)
    if not heard:
        return problem("multicast", f"what is sent on {where} is not heard", advice)
    return ok("multicast", f"works on {where}, at least within this machine")


def _hears_itself(interface: str) -> bool:
    group = PRIVATE_GROUP[0]
    member = socket.inet_aton(group) + socket.inet_aton(interface)
    word = secrets.token_bytes(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(PRIVATE_GROUP)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        ear.settimeout(MULTICAST_SECONDS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            mouth.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface)
            )
            mouth.sendto(word, (group, ear.getsockname()[1]))
        try:
            while ear.recv(64) != word:
                pass
        except TimeoutError:
            return False
    return True
