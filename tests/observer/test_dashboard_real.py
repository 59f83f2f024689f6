"""The dashboard of a real node in a real browser."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from tests.cli.conftest import Cli, until
from tests.cli.test_terminal import stopped
from tests.observer.browser import NAMES, Browser, executable

pytestmark = pytest.mark.real

NONE = "\u2013"  # what an empty cell shows
HOSTILE = "<script>document.title='broken into'</script>"
APP = f"""
import os

from foundation import process_manager, service_mesh
from foundation.cluster.pubsub import subscribe
from foundation.kernel.ops import spawn
from foundation.otp import DynamicSupervisor, GenServer, Supervisor, me, send, send_after


class Late(GenServer):
    pass


class Hostile(GenServer):
    async def init(self):
        await subscribe({HOSTILE!r})
        await service_mesh.register({HOSTILE!r}, metadata={{"note": {HOSTILE!r}}})


class Full(GenServer):
    async def init(self):
        for _ in range(12_000):
            send(me(), "more")

    async def handle_info(self, message):
        import asyncio

        await asyncio.sleep(3600)


class Waiter(GenServer):
    # starts another process when a file appears
    def init(self):
        spawn(singletons)
        send_after(0.02, me(), "look")

    async def handle_info(self, message):
        if os.path.exists("now"):
            await DynamicSupervisor.start_child("late", Late.spec(name="late-comer"))
        else:
            send_after(0.02, me(), "look")


async def singletons():
    await process_manager.start_singleton(Late, name="only-one")


class App(Supervisor):
    def init(self):
        return [
            Hostile.spec(name={HOSTILE!r}),
            Full.spec(name="full"),
            DynamicSupervisor.spec(name="late"),
            Waiter.spec(name="waiter"),
        ]
"""


@contextlib.contextmanager
def started(cli: Cli, *arguments: str, says: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = cli.start(*arguments)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert says in line, process.communicate(timeout=20)
    try:
        yield process, line
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert process.returncode in (0, -signal.SIGKILL), (out, err)


@pytest.fixture
def node(cli: Cli) -> Iterator[subprocess.Popen[str]]:
    (cli.path / "webapp.py").write_text(APP)
    run = ("run", "webapp:App", "--name", "web-a", "--cluster", "web", "--hosts", "1")
    with started(cli, *run, says="is up") as (process, _):
        yield process


@pytest.fixture
def url(cli: Cli, node: subprocess.Popen[str]) -> Iterator[str]:
    with started(cli, "dashboard", "--port", "0", "--interval", "0.1", says="http") as (_, line):
        yield line.split()[-1]


@pytest.fixture
def page(url: str) -> Iterator[Browser]:
    path = executable()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH; apt install chromium")
    browser = Browser(path)
    try:
        browser.open(url)
        yield browser
    finally:
        browser.close()


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def names(page: Browser) -> list[str]:
    return page.texts("#processes-table tbody tr td:nth-child(2)")


def go(page: Browser, section: str) -> None:
    page.run(f"location.hash = '{section}'")
    page.until(f"!document.getElementById('{section}').hidden")


def test_a_real_browser_shows_the_cluster_and_what_changes(cli: Cli, page: Browser) -> None:
    page.until("document.querySelectorAll('#hosts-table tbody tr').length >= 3")
    assert page.texts("#nodes-table tbody th")[0].startswith("web-a")
    assert page.texts("#hosts-table tbody th") == ["web-a/control", "web-a/main", "web-a/w1"]
    page.until("document.querySelectorAll('#nodes-table .spark .line').length >= 4")
    assert page.run("document.getElementById('cluster-name').textContent") == "web"
    page.until("document.getElementById('live').dataset.live === 'yes'")

    # Tables, and rows that come while one looks
    go(page, "processes")
    page.until("document.querySelector('#processes-table tbody tr[data-tone=warn]') !== null")
    assert names(page)[0] == "full"
    assert "late-comer" not in names(page)
    first = "document.querySelector('#processes-table tbody tr').dataset.mark"
    page.run(f"{first} = 'kept'")
    (cli.path / "now").touch()
    cells = "[...document.querySelectorAll('#processes-table td')]"
    page.until(f"{cells}.some(e => e.innerText === 'late-comer')")
    assert page.run(first) == "kept"  # rows are kept, not drawn anew

    # Text of users is text
    assert HOSTILE in names(page)
    go(page, "services")
    page.until("document.querySelectorAll('#services-table tbody tr:not(.empty)').length === 1")
    assert page.texts("#services-table tbody th") == [HOSTILE]
    assert f"note={HOSTILE}" in page.texts("#services-table .tag")
    go(page, "channels")
    page.until("document.querySelectorAll('#channels-table tbody tr:not(.empty)').length >= 1")
    assert HOSTILE in page.texts("#channels-table tbody th")
    go(page, "tree")
    assert HOSTILE in page.texts("#tree-view .name")
    assert "broken into" not in page.run("document.title")
    assert page.run("document.querySelectorAll('main script').length") == 0

    # The other sections
    go(page, "distributed")
    row = "document.querySelector('[data-key=\"foundation.processes/only-one\"]')"
    page.until(f"{row}?.querySelector('.badge').innerText === 'running'")
    go(page, "health")
    assert any("messages" in each and "full" in each for each in page.texts("#reasons li"))
    assert page.run("document.querySelector('#health-status').innerText") == "degraded"
    check_names(page)
    assert page.errors == []


def check_names(page: Browser) -> None:
    """Tables, headings and controls have what those need who do not see them."""
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("document.querySelectorAll('h1').length") == 1
    tables = page.run("document.querySelectorAll('table').length")
    assert page.run("document.querySelectorAll('table > caption').length") == tables
    assert page.run("[...document.querySelectorAll('thead th')].every(e => e.scope === 'col')")
    assert page.run("[...document.querySelectorAll('tbody th')].every(e => e.scope === 'row')")
    assert page.run(
        "[...document.querySelectorAll('button')].every(e => e.innerText || e.ariaLabel)"
    )
    assert page.run(
        "[...document.querySelectorAll('input, select')].every(e => e.labels.length === 1)"
    )
    assert page.run("[...document.querySelectorAll('svg.spark')].every(e => e.ariaLabel)")
    assert page.run("document.querySelectorAll('nav a[aria-current=page]').length") == 1


def test_filters_sorting_and_the_keyboard(page: Browser) -> None:
    go(page, "processes")
    page.until("document.querySelectorAll('#processes-table tbody tr').length > 5")
    page.run("document.getElementById('filter').focus()")
    page.type("WAITER")
    page.until("document.querySelectorAll('#processes-table tbody tr').length === 1")
    assert names(page) == ["waiter"]
    page.until("document.getElementById('process-count').value === '1 process'")
    page.run("document.getElementById('filter').value = ''")
    page.run("document.getElementById('filter').dispatchEvent(new Event('input'))")
    page.until("document.querySelectorAll('#processes-table tbody tr').length > 5")

    head = "document.querySelector('#processes-table thead th:nth-child(2)')"
    page.run(f"{head}.querySelector('button').focus()")
    page.press("Enter", 13)
    page.until(f"{head}.getAttribute('aria-sort') === 'ascending'")
    shown = [name for name in names(page) if name != NONE]
    assert shown == page.run(
        f"{json.dumps(shown)}.sort(new Intl.Collator('en', {{numeric: true}}).compare)"
    )
    page.press("Enter", 13)
    page.until(f"{head}.getAttribute('aria-sort') === 'descending'")
    assert names(page)[::-1][-len(shown) :] == shown or names(page)[0] == NONE


CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const found = parse(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const written = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll('body *')]
    .filter((e) => e.checkVisibility() && !e.closest('.hidden, .skip') && written(e))
    .map((e) => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return [ratio, e.className || e.tagName, e.innerText];
    }).filter(([ratio]) => ratio < 4.5);
})()
"""


def test_text_can_be_read_in_light_and_dark(page: Browser) -> None:
    page.until("document.querySelectorAll('#hosts-table tbody tr').length >= 3")
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        assert page.run("getComputedStyle(document.documentElement).colorScheme") == scheme
        for section in ("overview", "processes", "tree", "distributed", "services", "health"):
            go(page, section)
            assert page.run(CONTRAST) == [], (scheme, section)


def test_a_lost_node_is_said_until_it_is_back(
    cli: Cli, node: subprocess.Popen[str], page: Browser
) -> None:
    page.until("document.getElementById('live').dataset.live === 'yes'")
    control = page.run("+document.querySelector('#hosts-table tbody td:nth-child(3)').innerText")
    with stopped(control):
        page.until("!document.getElementById('lost').hidden", 30)
        assert "Connection lost." in page.run("document.getElementById('lost').innerText")
        assert page.run("document.body.classList.contains('stale')")
        assert page.run("document.getElementById('live').innerText") == "lost"
    # It goes on, or was killed by its node and another one has begun.
    page.until("document.getElementById('live').dataset.live === 'yes'", 30)
    assert page.run("document.getElementById('lost').hidden")


def test_the_page_reconnects_to_a_dashboard_that_was_started_again(
    cli: Cli, node: subprocess.Popen[str]
) -> None:
    path = executable()
    if path is None:
        pytest.skip("no browser")
    options = ("--interval", "0.1")
    browser = Browser(path)
    try:
        with started(cli, "dashboard", "--port", "0", *options, says="http") as (_, line):
            url = line.split()[-1]
            browser.open(url)
            browser.until("document.getElementById('live')?.dataset.live === 'yes'")
        browser.until("document.getElementById('live').dataset.live === 'no'")
        port = url.rpartition(":")[2].strip("/")
        with started(cli, "dashboard", "--port", port, *options, says="http"):
            browser.until("document.getElementById('live').dataset.live === 'yes'")
    finally:
        browser.close()


def test_health_and_the_picture_of_a_real_node(cli: Cli, url: str) -> None:
    until(lambda: get(f"{url}health")[0] == 503)
    status, found = get(f"{url}health")
    assert found["status"] == "degraded"
    assert any("messages" in reason and "full" in reason for reason in found["reasons"])
    status, found = get(f"{url}picture.json?match=late")
    assert status == 200
    assert found["matches"] >= 1
    request = urllib.request.Request(url, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 421
    refused.value.close()


def test_another_node_answers_for_health_when_the_asked_one_was_killed(
    cli: Cli, node: subprocess.Popen[str]
) -> None:
    run = ("run", "myapp:App", "--name", "web-b", "--cluster", "web", "--hosts", "1")
    with started(cli, *run, says="is up"):
        until(lambda: len(cli.json("cluster", "--json", "--node", "web-a")["members"]) == 2, 30.0)
        with started(cli, "dashboard", "--port", "0", says="http") as (_, line):
            url = line.split()[-1]
            assert get(f"{url}picture.json")[1]["asked"] == "web-a"
            node.kill()
            node.wait(timeout=20)
            until(lambda: get(f"{url}health")[1]["source"] == "health_monitor", 30.0)
            found = get(f"{url}picture.json")[1]
            assert found["asked"] == "web-b"
            (lost,) = found["cluster"]["lost"]
            assert (lost["name"], lost["reason"]) == ("web-a", "killed")
    for path in (cli.path / "runtime").rglob("web-a-*.json"):  # it could not remove them itself
        path.unlink()


NARROW = """
(() => {
  const heights = (query) => [...document.querySelectorAll(query)]
    .map((e) => e.getBoundingClientRect().height);
  return [Math.max(...heights('main > section:not([hidden]) tbody tr')),
    [...document.querySelectorAll('#tree-view summary')].map((e) => [
      e.getBoundingClientRect().height, e.querySelector('.entry').getBoundingClientRect().height])];
})()
"""


def test_rows_and_branches_are_no_taller_on_a_narrow_screen(page: Browser) -> None:
    page.until("document.querySelectorAll('#services-table tbody tr').length >= 1")
    sections = ("overview", "distributed", "services", "channels")
    tall: dict[int, list[float]] = {}
    for width in (1400, 400):
        page.size(width, 900)
        for section in sections:
            go(page, section)
            page.until(f"!document.getElementById('{section}').hidden")
            tall.setdefault(width, []).append(page.run(NARROW)[0])
    assert all(b <= a + 40 for a, b in zip(tall[1400], tall[400], strict=True)), tall
    go(page, "tree")
    page.until("!document.getElementById('tree').hidden")
    branches = page.run(NARROW)[1]
    assert branches
    assert all(whole <= entry + 2 for whole, entry in branches), branches  # the triangle beside it


def test_the_port_is_taken(cli: Cli, url: str) -> None:
    port = url.rpartition(":")[2].strip("/")
    code, _, err = cli.run("dashboard", "--port", port)
    assert code == 1
    assert f"cannot listen at 127.0.0.1 port {port}" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--bind", "0.0.0.0"), "--bind 0.0.0.0 lets other machines read the page"),
        (("--port", "70000"), "--port must be 0 to 65535"),
        (("--interval", "0"), "--interval must be greater than 0"),
    ],
)
def test_a_wrong_command_line(cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    code, _, err = cli.run("dashboard", *arguments)
    assert code == 2
    assert text in err


def test_without_the_extra_it_says_what_to_install(cli: Cli) -> None:
    (cli.path / "uvicorn.py").write_text("raise ImportError('not installed', name='uvicorn')")
    code, _, err = cli.run("dashboard")
    assert code == 1
    assert "pip install foundation-otp[dashboard]" in err
    assert Path(cli.path).exists()
