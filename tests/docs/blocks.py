"""The code blocks of a Markdown page, and what is to be done with each.

==================  ==========================================================================
``python``          a part of the page's program (of the section's, in README.md)
with a ``title=``   a file of that name in the page's directory (also ``toml``, ``yaml`` …)
``sh``              commands that are run in the page's directory, in one shell, in order
``text``            the output of the ``python`` or ``sh`` block before it
==================  ==========================================================================

A comment directly above a block changes that::

    <!-- not run: WHY; checked by tests/docs/test_x.py::test_y -->
    <!-- needs MODULE -->       without that module the block is compiled only
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))
_PART = re.compile(
    r"(?ms)^## (?P<heading>[^\n]+)$"
    r"|^(?:<!-- (?P<note>[^\n]*) -->\n\n?)?"
    r'```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$'
)
_NOT_RUN = re.compile(r"not run: (?P<why>.+); checked by (?P<test>\S+)")


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        language: the word after the fence.
        title: name of a file; "" for none.
        body: the text.
        line: number of its first line in the page.
        heading: the ``##`` above it.
        note: the comment above it.
        output: lines of the ``text`` block below.
    """

    language: str
    title: str
    body: str
    line: int
    heading: str
    note: str
    output: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it is executed here."""
        module = self.note.removeprefix("needs ") if self.note.startswith("needs ") else None
        if module is not None:
            return importlib.util.find_spec(module) is not None
        return not self.note.startswith("not run:")

    @property
    def checked_by(self) -> str:
        """The test that looks at a block that is not run."""
        found = _NOT_RUN.fullmatch(self.note)
        return found["test"] if found else ""


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page; a ``text`` block is the ``output`` of the one before it."""
    found: list[Block] = []
    heading = ""
    for match in _PART.finditer(text):
        if match["heading"]:
            heading = match["heading"]
            continue
        line = text.count("\n", 0, match.start("body")) + 1
        note = match["note"] or ""
        block = Block(match["language"], match["title"] or "", match["body"], line, heading, note)
        if block.language == "text" and not block.note:
            assert found, f"line {line}: the output of what?"
            before = found[-1]
            assert before.language in ("python", "sh"), f"line {line}: the output of what?"
            assert not before.title, f"line {line}: a file has no output"
            assert not before.output, f"line {line}: a second output"
            found[-1] = replace(before, output=tuple(block.body.splitlines()))
        else:
            found.append(block)
    return found


def page(path: str) -> list[Block]:
    """Return the blocks of the page at *path*, from the repository's root."""
    return blocks_of((ROOT / path).read_text())


def test_exists(name: str) -> bool:
    """Whether *name*, ``tests/a.py::Class::test_b`` or ``tests/a.py::test_b``, is a test."""
    path, *parts = name.split("::")
    if not parts or not (ROOT / path).is_file():
        return False
    inside: list[ast.stmt] = ast.parse((ROOT / path).read_text()).body
    for part in parts:
        for node in inside:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and (
                node.name == part
            ):
                inside = node.body
                break
        else:
            return False
    return parts[-1].startswith("test_")


test_exists.__test__ = False  # type: ignore[attr-defined]  # it is none itself
