"""What the tests of discovery share: whether multicast works here, and free ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def multicast() -> None:
    """Skip where a multicast through the loopback interface does not come back."""
    problem = _multicast_problem()
    if problem:
        pytest.skip(f"no multicast on 127.0.0.1 here: {problem}")


def _multicast_problem() -> str | None:
    group, interface = "239.255.45.93", socket.inet_aton("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.settimeout(2.0)
            sock.bind((group, 0))
            member = socket.inet_aton(group) + interface
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            nonce = os.urandom(8)
            sock.sendto(nonce, sock.getsockname())
            return None if sock.recv(100) == nonce else "another datagram came"
        except OSError as error:
            return str(error) or type(error).__name__


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """Return *n* UDP ports of 127.0.0.1 that nobody uses."""

    def ports(n: int) -> list[int]:
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(n)]
        try:
            for sock in sockets:
                sock.bind(("127.0.0.1", 0))
            return [sock.getsockname()[1] for sock in sockets]
        finally:
            for sock in sockets:
                sock.close()

    return ports
