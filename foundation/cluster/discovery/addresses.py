"""Addresses of nodes as text: ``"host:port"``, with IPv6 in brackets as in URLs."""

from __future__ import annotations

import ipaddress
import re

_LONGEST_HOST = 253
_LONGEST_SHOWN = 80
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")


def parse_address(text: object, port: int | None = None) -> tuple[str, int]:
    """Split an address into host and port.

    Args:
        text: ``"10.0.0.7:5000"``, ``"web-1:5000"`` or ``"[::1]:5000"``. Whatever a stranger may
            have sent can be passed.
        port: stands in where *text* has none; then a bare ``"::1"`` is understood too.

    Returns:
        The host, in one spelling (lower case, no brackets, no final dot), and the port.

    Raises:
        ValueError: it is malformed; the message says in what way.
    """
    if not isinstance(text, str):
        raise ValueError(f"{_shown(text)} is not a string")
    host, digits = _split(text, port)
    if digits is None:
        if port is None:
            raise ValueError(f'{_shown(text)} has no port; write "host:port"')
        return _checked_host(host, text), check_port(port)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        raise ValueError(f"{_shown(text)} has a port that is not a number from 1 to 65535")
    return _checked_host(host, text), check_port(int(digits))


def format_address(host: str, port: int) -> str:
    """Return *host* and *port* as one address; IPv6 gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def canonical(text: object, port: int | None = None) -> str:
    """Return an address in the one spelling by which addresses are compared.

    Raises:
        ValueError: it is malformed.
    """
    return format_address(*parse_address(text, port))


def check_port(port: object) -> int:
    """Return *port* if it is one.

    Raises:
        ValueError: it is not an integer from 1 to 65535.
    """
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ValueError(f"a port is an integer from 1 to 65535, got {port!r}")
    return port


def _split(text: str, port: int | None) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise ValueError(f'{_shown(text)} is not an IPv6 address in brackets, "[::1]:5000"')
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        if port is None:
            raise ValueError(f'{_shown(text)}: an IPv6 address needs brackets, "[::1]:5000"')
        return text, None
    host, colon, digits = text.partition(":")
    return host, digits if colon else None


def _checked_host(host: str, text: str) -> str:
    if not host:
        raise ValueError(f"{_shown(text)} has no host")
    if len(host) > _LONGEST_HOST:
        raise ValueError(f"{_shown(text)} has a host of {len(host)} characters; 253 are allowed")
    if ":" in host or _DIGITS_AND_DOTS.fullmatch(host):
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{_shown(text)} has a malformed IP address") from None
        if ip.is_unspecified or ip.is_multicast:
            raise ValueError(f"{_shown(text)}: nobody can connect to {host}")
        return str(ip)
    host = host.removesuffix(".")
    if not _HOST_NAME.fullmatch(host) or ".." in host:
        raise ValueError(
            f"{_shown(text)} has a malformed host name; allowed are letters, digits, '.', '-' and "
            "'_' (international names as xn--...)"
        )
    return host.lower()


def _shown(text: object) -> str:
    """Return *text* as messages show it; a stranger may have sent pages of it."""
    shown = repr(text)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 3]}..."
