"""Each step of the examination, alone."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from foundation.cluster import ClusterConfig
from foundation.cluster.discovery import (
    Advertisement,
    Loopback,
    MulticastDNS,
    StaticList,
    UdpGossip,
)
from foundation.cluster.doctor import asking, examine, local
from foundation.cluster.doctor.asking import ask, discover
from foundation.cluster.modes import resolve
from foundation.runtime.agent_dial import ask_agent
from foundation.transport import Outside, TransportConfig, load_cookie

COOKIE = b"c" * 32
ME = Advertisement("shop", "doctor", "127.0.0.1:9")


def transport(cookie: bytes = COOKIE) -> TransportConfig:
    return TransportConfig(cookie=cookie, unix=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Dialling


async def with_server(
    serve: Callable[[Any, Any], Awaitable[None]], check: Callable[[str], Awaitable[None]]
) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await check(f"127.0.0.1:{port}")


def step_of(serve: Callable[[Any, Any], Awaitable[None]]) -> str:
    found = []

    async def check(address: str) -> None:
        found.append((await ask_agent(address, b"?", transport(), 0.3)).step)

    asyncio.run(with_server(serve, check))
    return found[0]


async def _http(reader: Any, writer: Any) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def _silent(reader: Any, writer: Any) -> None:
    await reader.read()
    writer.close()


async def _hangs_up(reader: Any, writer: Any) -> None:
    writer.close()


@pytest.mark.parametrize("serve", [_http, _silent, _hangs_up])
def test_somebody_else_who_listens(serve: Any) -> None:
    assert step_of(serve) == "protocol"


def test_nobody_who_listens_and_a_name_that_is_none() -> None:
    async def main() -> None:
        refused = await ask_agent(f"127.0.0.1:{free_port()}", b"?", transport(), 1.0)
        assert (refused.step, refused.text) == ("connect", "Connection refused")
        nameless = await ask_agent("no-such-host.invalid:7000", b"?", transport(), 5.0)
        assert nameless.step == "resolve"

    asyncio.run(main())


def test_a_wrong_cookie_is_told_from_a_node_that_says_nothing_and_from_one_that_answers() -> None:
    async def main() -> None:
        async with Outside(transport()) as node:
            host, port = node.address.addressDetails.sockname
            address = f"{host}:{port}"
            assert (await ask_agent(address, b"?", transport(b"d" * 32), 2.0)).step == "cookie"
            assert (await ask_agent(address, b"?", transport(), 0.3)).step == "answer"
            node.on_message = lambda message, sender: node.tell(sender, b"an answer to " + message)
            answered = await ask_agent(address, b"?", transport(), 2.0)
            assert (answered.step, answered.answer) == ("done", b"an answer to ?")
            finding, answer = await ask(address, transport(), None)
            assert (finding.status, answer) == ("problem", None)
            assert "not understood" in finding.text

    asyncio.run(main())


def test_every_step_that_can_fail_has_a_text_and_a_remedy() -> None:
    steps = {"resolve", "connect", "protocol", "cookie", "answer"}
    assert set(asking._FAILED) == set(asking._REMEDY) == steps


def test_this_nodes_own_address_need_not_answer() -> None:
    own = f"127.0.0.1:{free_port()}"
    finding, answer = asyncio.run(ask(own, transport(), own))
    assert (finding.status, answer) == ("ok", None)


# Discovery


class Fake:
    name = "fake"

    def __init__(self, *answers: Any, pushes: Iterable[str] = ()) -> None:
        self.answers, self.pushes = list(answers), list(pushes)
        self.closed = 0

    async def start(self, me: Advertisement, found: Any) -> None:
        found(self.pushes)

    async def discover(self) -> Iterable[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    async def close(self) -> None:
        self.closed += 1
        raise OSError("does not matter")


@pytest.mark.parametrize(
    ("strategy", "status", "named", "text"),
    [
        (Fake(["a:1", "b:2"]), "ok", ("a:1", "b:2"), "names a:1, b:2"),
        (Fake([], ["a:1"]), "ok", ("a:1",), "names a:1"),
        (Fake([], pushes=["a:1"]), "ok", ("a:1",), "names a:1"),
        (Fake(["nonsense", "A:1", ME.address]), "ok", ("a:1",), "names a:1"),
        (Fake([]), "problem", (), "has named nobody in 0.3 s"),
        (Fake([ME.address]), "problem", (), "has named nobody"),
        (Fake(OSError("no such name")), "problem", (), "no such name"),
        (Fake(ValueError()), "problem", (), "ValueError"),
    ],
)
def test_a_strategy_is_run_once(
    strategy: Fake, status: str, named: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "POLL_SECONDS", 0.01)
    finding, found = asyncio.run(discover(strategy, ME, 0.3))
    assert (finding.status, found) == (status, named)
    assert text in finding.text
    assert strategy.closed == 1


def test_a_strategy_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Fake):
        async def discover(self) -> Iterable[str]:
            await asyncio.sleep(60)
            return []

    monkeypatch.setattr(asking, "CALL_SECONDS", 0.05)
    finding, _ = asyncio.run(discover(Hanging([]), ME, 0.3))
    assert finding.status == "problem"
    assert "no answer in 0.05 s" in finding.text


# This machine


def test_the_cookie(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_home, wide = ClusterConfig(), ClusterConfig(bind="10.0.0.1")
    finding, known = local.check_cookie(None, at_home)
    assert finding.status == "ok"
    assert "none yet" in finding.text
    assert known is not None
    assert not (bare / "config").exists()  # who only asks makes nothing
    assert local.check_cookie(None, at_home)[1] != known  # nobody has that one
    made, _ = load_cookie()
    finding, known = local.check_cookie(None, at_home)
    assert "mode 0600" in finding.text
    assert known == made
    finding, known = local.check_cookie(None, wide)
    assert (finding.status, known) == ("problem", None)
    (bare / "config" / "foundation" / "cookie").chmod(0o644)
    finding, known = local.check_cookie(None, at_home)
    assert (finding.status, known) == ("problem", None)
    assert "chmod 600" in finding.text
    monkeypatch.setenv("FOUNDATION_COOKIE", "short")
    assert local.check_cookie(None, at_home)[0].status == "problem"
    monkeypatch.setenv("FOUNDATION_COOKIE", "e" * 32)
    finding, known = local.check_cookie(None, wide)
    assert (finding.status, known) == ("ok", b"e" * 32)
    assert "e" * 32 not in finding.text
    finding, known = local.check_cookie(b"f" * 32, wide)
    assert known == b"f" * 32
    assert "--cookie-file" in finding.text


def test_a_cookie_that_could_not_be_generated(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != bare)
    finding, known = local.check_cookie(None, ClusterConfig())
    assert (finding.status, known) == ("problem", None)
    assert f"{bare} cannot be written" in finding.text
    (bare / "config").write_text("a file where the directory would be")
    finding, known = local.check_cookie(None, ClusterConfig())
    assert (finding.status, known) == ("problem", None)
    assert "Not a directory" in finding.text


def test_without_a_cookie_all_other_steps_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDATION_COOKIE", "short")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = ClusterConfig(port=port, strategies=(StaticList(["127.0.0.1:9"]),))
        found = asyncio.run(examine(resolve({}, config), None, 0.1))
    by_check = {each.check: each for each in found}
    assert by_check["cookie"].status == "problem"
    assert by_check["port"].status == "warning"
    assert by_check["discovery: static"].status == "ok"
    assert "not asked" in by_check["candidate 127.0.0.1:9"].text


def test_a_directory_that_cannot_be_made_is_not_mended_by_another_node(bare: Path) -> None:
    (bare / "file").write_text("")
    config = ClusterConfig(strategies=(Loopback(bare / "file" / "meet"),))
    found = asyncio.run(examine(resolve({}, config), COOKIE, 0.1))
    (finding,) = [each for each in found if each.check == "discovery: loopback"]
    assert finding.status == "problem"
    assert "FOUNDATION_LOOPBACK_DIRECTORY" in finding.advice
    assert "another node" not in finding.advice


def test_a_cookie_file_that_anybody_can_read(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bare / "cookie"
    path.write_text("e" * 32)
    monkeypatch.setenv("FOUNDATION_COOKIE_FILE", str(path))
    path.chmod(0o644)
    assert local.check_cookie(None, ClusterConfig())[0].status == "warning"
    path.chmod(0o600)
    assert local.check_cookie(None, ClusterConfig())[0].status == "ok"


@pytest.mark.parametrize(
    ("config", "remote", "statuses"),
    [
        ({}, False, ["ok"]),
        ({}, True, ["problem"]),
        ({"bind": "203.0.113.7"}, True, ["problem"]),  # of a range for documentation
        ({"bind": "0.0.0.0", "advertise": "10.0.0.1"}, True, ["ok", "ok"]),
        ({"bind": "0.0.0.0", "advertise": "localhost"}, True, ["ok", "problem"]),
        ({"bind": "0.0.0.0", "advertise": "no-such.invalid"}, True, ["ok", "warning"]),
    ],
)
def test_addresses(config: dict[str, Any], remote: bool, statuses: list[str]) -> None:
    found = local.check_address(ClusterConfig(**config), remote)
    assert [each.status for each in found] == statuses


def test_the_port() -> None:
    assert local.port_state(ClusterConfig())[0] == "free"
    assert local.port_state(ClusterConfig(port=free_port()))[0] == "free"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ClusterConfig(port=port, strategies=(StaticList(["a.invalid:1"]),))
        assert local.port_state(config)[0] == "used"
        resolved = resolve({}, config)
        found = asyncio.run(examine(resolved, COOKIE, 0.1))
        (finding,) = [each for each in found if each.check == "port"]
        assert finding.status == "problem"
        assert "not by a node of this cluster" in finding.text


def test_multicast_is_tried_where_a_strategy_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gossip = UdpGossip("s" * 20, interface="127.0.0.1")
    found = local.check_multicast((gossip, MulticastDNS(["127.0.0.1"])))
    assert [each.check for each in found] == ["multicast"]
    assert local.check_multicast((UdpGossip("s" * 20, targets=["10.0.0.1"]),)) == []
    assert local.check_multicast((StaticList(["a:1"]),)) == []
    assert local.check_multicast((UdpGossip("s" * 20, interface="203.0.113.7"),))[0].status == (
        "problem"
    )
    monkeypatch.setattr(local, "_hears_itself", lambda interface: False)
    (deaf,) = local.check_multicast((gossip,))
    assert (deaf.status, bool(deaf.advice)) == ("problem", True)


def test_off_is_a_problem_and_nothing_else_is_tried() -> None:
    found = asyncio.run(examine(resolve({"FOUNDATION_CLUSTER": "no"})))
    assert [(each.check, each.status) for each in found] == [("settings", "problem")]
    assert "FOUNDATION_CLUSTER says false" in found[0].text


def test_one_strategy_that_names_somebody_is_enough() -> None:
    lost = f"127.0.0.1:{free_port()}"
    config = ClusterConfig(strategies=(Fake(OSError("no")), StaticList([lost])))
    found = asyncio.run(examine(resolve({}, config), COOKIE, 0.1))
    by_check = {each.check: each.status for each in found}
    assert by_check["discovery: fake"] == "warning"
    assert by_check["discovery: static"] == "ok"
    assert by_check[f"candidate {lost}"] == "problem"
    assert by_check["size"] == "problem"
