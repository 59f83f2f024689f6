"""What the commands share: exit codes, wrong command lines, help texts, cookies."""

from __future__ import annotations

from pathlib import Path

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


class Usage(Exception):
    """The command line is wrong; the message says how."""


def read_cookie(path: Path | None) -> bytes | None:
    """Return the secret in the file that ``--cookie-file`` names; None when it was not given.

    Raises:
        Usage: it cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise Usage(f"the cookie file {path} cannot be read: {error.strerror}") from None


def examples(*lines: str) -> str:
    """Return the end of a help text: real command lines."""
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])
