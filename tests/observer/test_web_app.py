"""What the dashboard serves, to whom, and what it tells browsers to refuse."""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from typing import Any

import httpx
import pytest

pytest.importorskip("starlette")
from foundation.observer.web.app import PAGE, make_app
from foundation.observer.web.feed import Feed
from foundation.observer.web.guard import host_name, is_loopback
from tests.observer.test_feed import Shown

BASE = "http://127.0.0.1:4000"
PAGES = files("foundation.observer.web").joinpath("page")


@pytest.fixture
def watch() -> Shown:
    return Shown()


class Client:
    """Asks the application, without a server."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Any:
        async def asked() -> Any:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, **options)

        return asyncio.run(asked())


def client(watch: Shown, *hosts: str) -> Client:
    return Client(make_app(Feed(watch), hosts))


@pytest.mark.parametrize("name", ["", *PAGE])
def test_the_page_and_its_parts_are_served(watch: Shown, name: str) -> None:
    response = client(watch).get(f"/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(PAGE[name or "index.html"])
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing", "app.py", "..%2fapp.py", "page", "style.css/x"])
def test_nothing_else_is_served(watch: Shown, name: str) -> None:
    assert client(watch).get(f"/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/events", "/picture.json", "/health", "/metrics"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4000", "127.0.0.1.evil.example", "localhost.evil", ""]
)
def test_a_request_under_another_name_is_refused(watch: Shown, path: str, host: str) -> None:
    response = client(watch).get(path, headers={"host": host})
    assert response.status_code == 421
    assert watch.looks == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:4000", "127.0.0.1", "127.0.0.1:99", "[::1]:4000", "shop.example:80"],
)
def test_its_own_names_are_served_on_any_port(watch: Shown, host: str) -> None:
    assert client(watch, "Shop.example").get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403), ("same-site", "cors", 403), ("cross-site", "cors", 403),
        ("cross-site", "navigate", 200), ("same-origin", "cors", 200), ("none", "navigate", 200),
    ],
)  # fmt: skip
def test_pages_of_other_sites_cannot_even_ask(
    watch: Shown, site: str, mode: str, status: int
) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    assert client(watch).get("/health", headers=headers).status_code == status
    assert len(watch.looks) == (status == 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_shows(watch: Shown, method: str) -> None:
    assert client(watch).request(method, "/health").status_code == 405


def test_browsers_are_told_to_run_nothing_but_its_own_scripts(watch: Shown) -> None:
    policy = client(watch).get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def texts() -> dict[str, str]:
    return {name: PAGES.joinpath(name).read_text() for name in PAGE}


def test_everything_of_the_page_is_listed_and_installed() -> None:
    assert sorted(PAGE) == sorted(each.name for each in PAGES.iterdir())
    linked = re.findall(r'(?:src|href)="([^"#/][^"]*)"', texts()["index.html"])
    imported = [n for t in texts().values() for n in re.findall(r'from "\./([^"]+)"', t)]
    assert linked
    assert imported
    assert {*linked, *imported} <= set(PAGE)


def test_the_page_needs_no_network() -> None:
    for name, text in texts().items():
        addresses = re.findall(r"https?://[^\s\"']+", text)
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name


def test_the_page_has_no_way_to_read_text_as_html() -> None:
    for name, text in texts().items():
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                    "DOMParser", "srcdoc", "setHTML", "new Function"):  # fmt: skip
            assert way not in text, name
    html = texts()["index.html"]
    assert not re.search(r"<script(?![^>]* src=)", html)
    assert not re.search(r"\son\w+=|<style|\sstyle=", html)


@pytest.mark.parametrize("name", list(PAGE))
def test_files_are_short(name: str) -> None:
    assert len(texts()[name].splitlines()) < 500


def test_the_picture_is_data(watch: Shown) -> None:
    found = client(watch).get("/picture.json?match=x").json()
    assert found["processes"][0]["name"] == "look 1"
    assert watch.looks == ["x"]


def test_a_healthy_cluster_is_200(watch: Shown) -> None:
    response = client(watch).get("/health")
    assert response.status_code == 200
    assert response.json()["status"] == "healthy"
    assert response.headers["cache-control"] == "no-store"


def test_an_ill_cluster_is_503_with_reasons(watch: Shown, monkeypatch: Any) -> None:
    health = {"status": "degraded", "reasons": ["why"], "recommendations": [], "source": "picture"}

    async def look(match: str = "") -> Any:
        return {"health": health, "missing": {"nodes": ["b"], "hosts": []}}

    monkeypatch.setattr(watch, "look", look)
    response = client(watch).get("/health")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["why"]
    assert response.json()["missing"]["nodes"] == ["b"]


@pytest.mark.parametrize("path", ["/health", "/picture.json"])
def test_a_cluster_that_does_not_answer_is_503(watch: Shown, path: str) -> None:
    watch.broken = True
    response = client(watch).get(path)
    assert response.status_code == 503
    assert response.json()["reasons"] == ["node 'a' did not answer"]


@pytest.mark.parametrize("path", ["/health", "/picture.json", "/metrics"])
def test_another_node_answers_when_the_asked_one_has_died(watch: Shown, path: str) -> None:
    watch.prometheus = "foundation_cluster_nodes 1\n"
    watch.broken, watch.others = True, 1
    assert client(watch).get(path).status_code == 200
    assert client(watch).get(path).status_code == 200
    assert watch.moves == 1


def test_metrics_are_those_of_the_health_monitor(watch: Shown) -> None:
    assert client(watch).get("/metrics").status_code == 404
    watch.prometheus = "foundation_cluster_nodes 3\n"
    response = client(watch).get("/metrics")
    assert response.text == "foundation_cluster_nodes 3\n"
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False),
    ],
)  # fmt: skip
def test_what_is_loopback(address: str, found: bool) -> None:
    assert is_loopback(address) is found


@pytest.mark.parametrize(
    ("header", "name"),
    [("A.b:80", "a.b"), ("[::1]:80", "[::1]"), (" x ", "x"), ("[::1", "[::1]"), ("", "")],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name
