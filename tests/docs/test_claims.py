"""What pages say without a block that runs: extras, links, guarantees, tables."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.blocks import DOCS, PAGES, ROOT, test_exists


def test_the_extras_that_pages_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    named = set()
    for path in [*PAGES, "README.md"]:
        text = (ROOT / path).read_text()
        for found in re.findall(r"foundation(?:-otp)?\[([\w,]+)\]", text):
            named.update(found.split(","))
    assert named
    assert named <= extras
