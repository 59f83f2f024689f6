"""What pages say without a block that runs: guarantees, links, extras, the reference."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, PAGES, ROOT, test_exists
from tests.docs.guarantees import STATED_BY_TESTS, claims, named_tests
from tests.docs.tables import SETTINGS_PAGE, replaced, settings_table

TEXTS = {path: (ROOT / path).read_text() for path in PAGES}
PROSE = {path: re.sub(r"(?ms)^```.*?^```$", "", text) for path, text in TEXTS.items()}
CONFIG = (ROOT / "mkdocs.yml").read_text()
REFERENCE = "".join(text for path, text in TEXTS.items() if path.startswith("docs/reference/"))
SHOWN = re.findall(r"(?m)^::: (\S+)$", REFERENCE)
OURS = tuple(
    f"foundation.{name}"
    for name in (
        *("otp", "cluster", "cluster.registry", "cluster.supervisor", "cluster.pubsub"),
        *("cluster.discovery", "channels", "config", "process_manager", "service_mesh", "scope"),
        *("health_monitor", "optimizer"),
        "testing",
    )
)


@pytest.mark.parametrize("path", STATED_BY_TESTS)
def test_each_guarantee_names_tests_that_exist(path: str) -> None:
    found = claims(path)
    assert len(found) > 5
    for claim, tests in found:
        assert claim, f"{path}: what do {tests} show?"
        assert tests, f"{path}: nothing shows {claim!r}"
        missing = [name for name in tests if not test_exists(name)]
        assert missing == [], f"{path}: {claim!r}"


def test_the_page_of_guarantees_states_nothing_else() -> None:
    """Below the introduction there are headings and guarantees only."""
    body = TEXTS["docs/explanation/guarantees.md"].partition("\n## ")[2]
    lines = [line for line in body.splitlines()[1:] if line]
    other = [line for line in lines if not line.startswith(("- ", "  ", "## "))]
    assert other == []


def test_a_name_that_is_no_test_is_noticed() -> None:
    assert test_exists("tests/docs/test_claims.py::test_a_name_that_is_no_test_is_noticed")
    for wrong in ("::test_nothing", "::TEXTS", "", "::test_exists"):
        assert not test_exists(f"tests/docs/test_claims.py{wrong}")
    assert not test_exists("tests/docs/nothing.py::test_links_lead_somewhere")


def test_the_tests_of_the_guarantees_are_listed_once_each() -> None:
    names = named_tests()
    assert len(names) == len(set(names)) > 100


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str) -> None:
    folder = (ROOT / path).parent
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", PROSE[path]):
        target, _, anchor = link.partition("#")
        page = (folder / target).resolve() if target else ROOT / path
        assert page.is_file(), f"{path}: {link}"
        assert page.is_relative_to(DOCS), f"{path}: {link} is not part of the site"
        if anchor:
            assert anchor in anchors(page), f"{path}: {link}"


def anchors(page: Path) -> set[str]:
    """Return the names of the headings of *page*, as in links."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w]+", "-", heading.lower()).strip("-") for heading in headings}


@pytest.mark.parametrize("path", PAGES)
def test_files_that_are_named_exist(path: str) -> None:
    paths = re.findall(r"`((?:foundation|examples|tests|property_tests)/[\w/.]+)", PROSE[path])
    assert [name for name in paths if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"(?m)^ +- .+: (\S+\.md)$", CONFIG)
    assert sorted(listed) == sorted(path.removeprefix("docs/") for path in PAGES)


def test_the_extras_that_pages_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set()
    for text in [*TEXTS.values(), (ROOT / "README.md").read_text()]:
        for found in re.findall(r"(?:foundation(?:-otp)?|/src)\[([\w,]+)\]", text):
            named.update(found.split(","))
    assert {"cli", "dns"} <= named
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_reference_shows_exists_and_says_what_it_is(name: str) -> None:
    module, found = name, None
    while found is None:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module = module.rpartition(".")[0]
    for part in filter(None, name.removeprefix(module).split(".")):
        found = getattr(found, part)
    if not isinstance(found, (int, str)):  # a constant
        assert (getattr(found, "__doc__", None) or "").strip(), name


@pytest.mark.parametrize("package", OURS)
def test_the_reference_is_complete(package: str) -> None:
    """A package is shown as a whole, or each of its public names is, errors on their page."""
    if package in SHOWN:
        return
    assert "foundation.errors" in SHOWN
    errors = importlib.import_module("foundation.errors")
    shown = {name.rpartition(".")[2] for name in SHOWN}
    public = importlib.import_module(package).__all__
    assert [name for name in public if name not in shown and not hasattr(errors, name)] == []


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """`python -m tests.docs.tables` writes it; the command line's page is executed."""
    assert replaced(SETTINGS_PAGE, settings_table()) == SETTINGS_PAGE.read_text()


def test_every_command_has_its_help_in_the_reference() -> None:
    app = pytest.importorskip("foundation.cli.app").app
    page = TEXTS["docs/reference/command-line.md"]
    names = [name for name in app if not name.startswith("-")]
    assert re.findall(r"(?m)^## (\w+)$", page) == sorted(names)


def test_the_site_can_be_built(tmp_path: Path) -> None:
    """Strictly: a link that leads nowhere, or a name of the reference that is none, is an error."""
    pytest.importorskip("zensical")
    text = CONFIG.replace("paths: [.]", f"paths: [{ROOT}]").replace("[.]", f"[{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(text)
    shutil.copytree(DOCS, tmp_path / "docs")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in PAGES:
        built = tmp_path / "site" / path.removeprefix("docs/").removesuffix(".md")
        page = built.with_suffix(".html") if built.name == "index" else built / "index.html"
        assert page.is_file()
        assert ":::" not in page.read_text()
