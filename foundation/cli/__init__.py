"""The command line: ``foundation demo | run | top | tree | cluster | trace | dashboard | …``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the program with its exit code."""
    try:
        import cyclopts
    except ImportError:
        print(
            "foundation: the command line needs the 'cli' extra: pip install foundation-otp[cli]",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    assert cyclopts is not None
    try:
        from foundation.cli.app import run_app

        code = run_app()
    except KeyboardInterrupt:  # while it was being imported
        code = 130
    raise SystemExit(code)
