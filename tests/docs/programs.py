"""Python blocks as one program, which must print what stands below each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docs.blocks import Block
from tests.examples.programs import run_program

MARK = "--- next block ---"
CALL_TESTS = """
for _name, _test in list(globals().items()):
    if _name.startswith("test_"):
        _test()
"""


def program(blocks: Sequence[Block]) -> str:
    """Return one program of *blocks*, which prints ``MARK`` after each and calls its tests."""
    mark = f'if __name__ == "__main__":\n    print({MARK!r}, flush=True)\n'
    return mark.join([*(block.body for block in blocks), CALL_TESTS])


def check_program(
    blocks: Sequence[Block], folder: Path, env: Mapping[str, str] | None = None
) -> None:
    """Run *blocks* as one program; each must print its output, and nothing may be left."""
    path = folder / "program.py"
    path.write_text(program(blocks))
    outcome = run_program(str(path), env=env)
    printed: list[list[str]] = [[]]
    for line in outcome.out:
        if line == MARK:
            printed.append([])
        else:
            printed[-1].append(line)
    assert outcome.code == 0, outcome.reports
    for block, lines in zip(blocks, printed, strict=False):
        shown = list(block.output)
        assert lines == shown, f"line {block.line} printed {lines}, the page shows {shown}"
    assert len(printed) == len(blocks) + 1
    assert outcome.left == []
