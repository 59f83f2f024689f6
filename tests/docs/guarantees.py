"""What the pages claim, and the tests that show it.

    python -m tests.docs.guarantees       prints the names of those tests, for pytest
"""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

STATED_BY_TESTS = tuple(
    f"docs/explanation/{name}.md" for name in ("guarantees", "partitions", "security")
)
_TEST = re.compile(r"`((?:tests|property_tests)/[\w/]+\.py::[\w:]+)`")


def claims(path: str) -> list[tuple[str, list[str]]]:
    """Return the items of the lists of a page, each with the tests that it names.

    Items of lists without any test are left out, but for the page of guarantees, where there is
    to be none.
    """
    text = re.sub(r"(?ms)^```.*?^```$", "", (ROOT / path).read_text())
    found = []
    for item in re.findall(r"(?m)^- .+(?:\n  .+)*", text):
        tests = _TEST.findall(item)
        if tests or path.endswith("guarantees.md"):
            found.append((_TEST.sub("", item.removeprefix("- ")).strip(), tests))
    return found


def named_tests() -> list[str]:
    """Return the tests of all pages, each once."""
    names = [name for path in STATED_BY_TESTS for _, tests in claims(path) for name in tests]
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    print("\n".join(named_tests()))
