"""What every request must be, and what every response says to the browser.

A page of elsewhere cannot read ours, since the browser keeps origins apart. Its author can,
however, let a name of his own stand for 127.0.0.1 (DNS rebinding), and then the browser takes
our port for his origin. The header ``Host`` gives it away: it holds his name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches *address*."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """Return a ``Host`` header without its port, in small letters."""
    header = header.strip().lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


class Guard:
    """Lets requests through to *app* that are for this server and only read.

    Args:
        app: the application.
        hosts: names and addresses that it answers to, besides those of loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        more = (f"[{host}]" if ":" in host and "[" not in host else host for host in hosts)
        self._hosts = frozenset([*LOOPBACK, *(host.lower() for host in more)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        app: Any = self._app if refusal is None else refusal
        await app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0]) not in self._hosts:
            shown = ", ".join(sorted(self._hosts))
            text = f"this dashboard answers to {shown} only; see foundation dashboard --allow-host"
            return PlainTextResponse(text, 421)
        if _from_elsewhere(scope["headers"]):
            return PlainTextResponse("the dashboard answers to its own page only", 403)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("the dashboard only shows", 405, {"allow": "GET, HEAD"})
        return None


def _from_elsewhere(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a page of another site asks, other than by a link that somebody has followed."""
    found = dict(headers)
    site, mode = found.get(b"sec-fetch-site", b"none"), found.get(b"sec-fetch-mode", b"navigate")
    return site not in (b"none", b"same-origin") and mode != b"navigate"


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
        await send(message)

    return sending
