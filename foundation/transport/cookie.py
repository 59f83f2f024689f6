"""The cluster's cookie: given explicitly, or generated once per user in a private file."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from foundation.errors import CookieError

ENVIRONMENT = "FOUNDATION_COOKIE"
FILE_ENVIRONMENT = "FOUNDATION_COOKIE_FILE"  # as a mounted secret: whose file it is, is not checked
MIN_BYTES = 16


def load_cookie(explicit: str | bytes | None = None) -> tuple[bytes, bool]:
    """Find the cookie, or generate one for this user.

    *explicit*, else ``$FOUNDATION_COOKIE``, else the contents of ``$FOUNDATION_COOKIE_FILE``, else
    the one generated for this user.

    Returns:
        The cookie and whether a user chose it. A generated one is for loopback only.

    Raises:
        CookieError: it is too short, or the file cannot be read, or that of the generated one is
            readable by others.
    """
    found, chosen = find_cookie(explicit)
    return (_user_cookie(cookie_path()) if found is None else found), chosen


def find_cookie(explicit: str | bytes | None = None) -> tuple[bytes | None, bool]:
    """As ``load_cookie``, but generate none: then the cookie is None."""
    if explicit is not None:
        return _checked(explicit, "the cookie that was passed"), True
    from_environment = os.environ.get(ENVIRONMENT)
    if from_environment:
        return _checked(from_environment, f"${ENVIRONMENT}"), True
    named = os.environ.get(FILE_ENVIRONMENT)
    if named:
        return _checked(_content(Path(named)), f"${FILE_ENVIRONMENT} ({named})"), True
    return _existing(cookie_path()), False


def cookie_path() -> Path:
    """The file of the generated cookie, following the XDG base directories."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "foundation" / "cookie"


def _checked(cookie: str | bytes, source: str) -> bytes:
    raw = cookie.encode() if isinstance(cookie, str) else bytes(cookie)
    raw = raw.strip()
    if len(raw) < MIN_BYTES:
        raise CookieError(f"{source} has {len(raw)} bytes; use {MIN_BYTES} or more")
    return raw


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CookieError(
            f"cannot read the cookie file {path} (${FILE_ENVIRONMENT}): {error.strerror}"
        ) from error


def _existing(path: Path) -> bytes | None:
    try:
        return _read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CookieError(f"cannot read the cookie file {path}: {error}") from error


def _user_cookie(path: Path) -> bytes:
    """Generate it."""
    try:
        return _create(path)
    except OSError as error:
        raise CookieError(
            f"cannot create the cookie file {path}: {error}; set ${ENVIRONMENT} instead"
        ) from error


def _read_private(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise CookieError(
                f"the cookie file {path} must belong to you and be private: chmod 600 it, "
                "or delete it to have a new one generated"
            )
        return _checked(file.read(), f"the cookie file {path}")


def _create(path: Path) -> bytes:
    """Write a new cookie aside and link it into place: two starting nodes agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
        try:
            os.link(aside, path)
        except FileExistsError:
            pass  # another process was faster: use its cookie
    finally:
        os.unlink(aside)
    return _read_private(path)
