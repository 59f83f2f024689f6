"""The pages of docs/ are true: each code block is executed, and prints what stands below it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, Block, page, test_exists
from tests.docs.programs import check_program
from tests.docs.shell import Shell, check_block, environment

BLOCKS = {path: page(path) for path in PAGES}
USERS = {"foundation.toml": "foundation config"}  # what reads a file without naming it
RUN = ("python", "sh", "text")


def parts(path: str) -> tuple[list[Block], list[Block]]:
    """Return the blocks of a page that are its program, and those for its shell."""
    program, shell = [], []
    for block in BLOCKS[path]:
        if block.language == "python" and not block.title:
            if block.runs:
                program.append(block)
        elif block.title or block.runs:
            shell.append(block)
    return program, shell


PROGRAMS = [path for path in PAGES if parts(path)[0]]
SHELLS = [path for path in PAGES if any(block.language == "sh" for block in parts(path)[1])]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a directory with a short path, which the addresses of sockets need."""
    made = Path(tempfile.mkdtemp(prefix="docs-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.real
@pytest.mark.parametrize("path", PROGRAMS)
def test_the_program_of_a_page(path: str, folder: Path) -> None:
    check_program(parts(path)[0], folder, env=environment(folder))


@pytest.mark.real
@pytest.mark.parametrize("path", SHELLS)
def test_the_commands_of_a_page(path: str, folder: Path) -> None:
    shell = Shell(folder)
    try:
        for block in parts(path)[1]:
            if block.title:
                file = folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.body)
            else:
                check_block(shell, block)
    finally:
        left = shell.close()
    assert left == []


@pytest.mark.parametrize("path", PAGES)
def test_each_block_is_executed_or_says_who_checks_it(path: str) -> None:
    used = "".join(b.body for b in BLOCKS[path] if b.runs)
    for block in BLOCKS[path]:
        where = f"{path}, line {block.line}"
        if block.language == "python":
            compile(block.body, where, "exec")
        if not block.runs and not block.note.startswith("needs "):
            assert test_exists(block.checked_by), f"{where}: {block.note!r} names no test"
        elif block.title:
            user = USERS.get(block.title, block.title.removesuffix(".py"))
            assert user in used, f"{where}: nothing uses {block.title}"
        else:
            assert block.language in RUN, f"{where}: {block.language} needs a note"


def test_there_are_no_other_fences() -> None:
    """What the pattern of ``blocks`` overlooks would not be tested."""
    for path in PAGES:
        text = (ROOT / path).read_text()
        shown = len(BLOCKS[path]) + sum(bool(block.output) for block in BLOCKS[path])
        assert text.count("```") == 2 * shown, path
