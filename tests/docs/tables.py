"""Writes the parts of docs/reference that come from the code: settings, and the command line.

    python -m tests.docs.tables
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from foundation.cluster.modes import SETTINGS
from foundation.cluster.modes.settings import CLUSTER, CONFIG_FILE, COOKIE, COOKIE_FILE
from tests.docs.blocks import DOCS
from tests.docs.shell import environment

SETTINGS_PAGE = DOCS / "reference" / "settings.md"
COMMANDS_PAGE = DOCS / "reference" / "command-line.md"
BEGIN, END = "<!-- generated -->", "<!-- end -->"
OTHERS = (
    (CLUSTER, "whether there is a cluster: `true`, `false`, or a strategy", "`cluster`"),
    (COOKIE, "the shared secret", ""),
    (COOKIE_FILE, "a file with the shared secret", ""),
    (CONFIG_FILE, "the file with settings", ""),
)


def settings_table() -> str:
    """Return all settings as a table."""
    lines = ["| variable | in a file or `cluster={…}` | what it is | default |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [f"| `{name}` | {key} | {text} | |" for name, text, key in OTHERS]
    for setting in SETTINGS.values():
        env = f"`{setting.env}`" if setting.env else ""
        keys = ", ".join(f"`{key}`" for key in (setting.key, *setting.aliases))
        lines.append(f"| {env} | {keys} | {setting.text} | {_default(setting.default)} |")
    return "\n".join(lines)


def _default(value: object) -> str:
    if value in (None, {}):
        return ""
    if isinstance(value, (bool, int, float, str)):
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    return "`LAN`"  # of Timing


def commands() -> str:
    """Return what the command line says of itself, as blocks of shell and output."""
    from foundation.cli.app import app

    names = sorted(name for name in app if not name.startswith("-"))
    parts = [f"## {name}\n\n{_block(f'foundation {name} --help', _help(name))}" for name in names]
    return "\n\n".join([_block("foundation --help", _help()), *parts])


def _help(*command: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "foundation", *command, "--help"],
            env=environment(Path(folder)),
            capture_output=True,
            text=True,
            check=True,
        )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def _block(command: str, output: str) -> str:
    return f"```sh\n{command}\n```\n\n```text\n{output}\n```"


def replaced(page: Path, text: str) -> str:
    """Return *page* with *text* as its generated part."""
    before, _, rest = page.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write both pages."""
    for page, text in ((SETTINGS_PAGE, settings_table()), (COMMANDS_PAGE, commands())):
        page.write_text(replaced(page, text))


if __name__ == "__main__":
    main()
