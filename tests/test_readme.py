"""The README is true: its programs run, and print what stands below them.

The Python blocks of one section (``## ...``) are one program, in order, each with its own output.
The output of a block is the ``text`` block that follows it, if that comes before the next Python
block; a block without one prints nothing. Test functions in a block are called.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, page
from tests.docs.programs import check_program
from tests.examples.readme_table import BEGIN, END, WHAT

README = ROOT / "README.md"


def sections() -> dict[str, list[Block]]:
    """Return the Python blocks of each section that has some."""
    found: dict[str, list[Block]] = {}
    for block in page("README.md"):
        if block.language == "python":
            found.setdefault(block.heading, []).append(block)
    return found


SECTIONS = sections()


@pytest.mark.real
@pytest.mark.parametrize("title", SECTIONS)
def test_programs(title: str, tmp_path: Path) -> None:
    check_program(SECTIONS[title], tmp_path)


def test_the_first_commands() -> None:
    shell = re.findall(r"(?ms)^```sh\n(.*?)^```$", README.read_text())
    commands = [line.partition("#")[0].strip() for line in shell[0].splitlines()]
    assert commands == ["make demo", "make test"]


def test_the_first_program_has_ten_lines() -> None:
    first = next(iter(SECTIONS.values()))[0]
    assert len([line for line in first.body.splitlines() if line.strip()]) == 10


def test_the_table_is_complete_and_its_ratios_are_right() -> None:
    """`make bench` may measure anew at any time; readme_table then writes the table."""
    text = README.read_text()
    lines = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in cells] == list(WHAT.values())
    for row in cells:
        ours = _number(row[1])
        for cell in filter(None, row[2:]):
            other, ratio = cell.rstrip(")").split(" (x ")
            quotient = ours / _number(other)
            if not row[1].endswith("/s"):
                quotient = 1 / quotient
            assert quotient == pytest.approx(_number(ratio), rel=0.15), row


def _number(text: str) -> float:
    return float(re.match(r"-?[\d.,]+", text).group().replace(",", ""))


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_paths_exist(page: str) -> None:
    """Links to files, and module paths in backquotes, name something that is there."""
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    paths = re.findall(r"`((?:foundation|examples|tests|benchmarks|property_tests)/[\w/.]*)`", text)
    missing = [path for path in [*links, *paths] if not (ROOT / path).exists()]
    assert missing == []
