"""Discovery by DNS, and by Kubernetes' headless services."""

from __future__ import annotations

import asyncio
import importlib.util
import pickle
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.cluster.discovery import Advertisement, Dns, Kubernetes, StaticList

dns_message = pytest.importorskip("dns.message", reason="dnspython is not installed")

ME = Advertisement("shop", "me", "10.0.0.9:5000")
SRV = "_cluster._tcp.web.example.com."


def discovered(strategy: Any) -> list[str]:
    async def body() -> list[str]:
        await strategy.start(ME, lambda addresses: None)
        try:
            return list(await strategy.discover())
        finally:
            await strategy.close()

    return asyncio.run(body())


class Asked:
    """A resolver that answers from a table, and remembers the questions."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.questions: list[tuple[str, str]] = []

    async def __call__(self, query: str, record: str) -> Iterable[tuple[str, int | None]]:
        self.questions.append((query, record))
        answer = self.table[record]
        if isinstance(answer, Exception):
            raise answer
        return answer


# With a resolver that was passed


def test_address_records_get_the_port() -> None:
    asked = Asked({"A": [("10.0.0.1", None), ("10.0.0.2", None)]})
    strategy = Dns("web.example.com", 5000, "A", resolver=asked)
    assert discovered(strategy) == ["10.0.0.1:5000", "10.0.0.2:5000"]
    assert asked.questions == [("web.example.com", "A")]


def test_auto_asks_for_both_kinds_and_is_content_with_one() -> None:
    asked = Asked({"A": OSError("no A"), "AAAA": [("2001:db8::1", None)]})
    assert discovered(Dns("web", 5000, resolver=asked)) == ["[2001:db8::1]:5000"]
    assert asked.questions == [("web", "A"), ("web", "AAAA")]
    asked.table["AAAA"] = OSError("no AAAA")
    with pytest.raises(OSError, match="no A"):
        discovered(Dns("web", 5000, resolver=asked))


def test_auto_asks_for_services_where_the_name_is_one() -> None:
    asked = Asked({"SRV": [("web-0.example.com.", 5001), ("web-1.example.com.", None)]})
    assert discovered(Dns(SRV, 7, resolver=asked)) == [
        "web-0.example.com.:5001",
        "web-1.example.com.:7",
    ]
    assert asked.questions == [(SRV, "SRV")]


def test_kubernetes_asks_for_the_pods_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLUSTER_DOMAIN", raising=False)
    file = tmp_path / "namespace"
    file.write_text("shop\n")
    asked = Asked({"A": [("10.1.0.1", None)], "SRV": [("w-0.web.shop.svc.cluster.local.", 5001)]})
    options: dict[str, Any] = {"namespace_file": file, "resolver": asked}
    assert discovered(Kubernetes("web", port=5000, **options)) == ["10.1.0.1:5000"]
    assert discovered(Kubernetes("web", port_name="cluster", **options)) == [
        "w-0.web.shop.svc.cluster.local.:5001"
    ]
    discovered(Kubernetes("web", "other", 5000, **options))
    monkeypatch.setenv("CLUSTER_DOMAIN", "k8s.example")
    discovered(Kubernetes("web", port=5000, **options))
    discovered(Kubernetes("web", port=5000, cluster_domain="c.local", **options))
    assert asked.questions == [
        ("web.shop.svc.cluster.local.", "A"),
        ("_cluster._tcp.web.shop.svc.cluster.local.", "SRV"),
        ("web.other.svc.cluster.local.", "A"),
        ("web.shop.svc.k8s.example.", "A"),
        ("web.shop.svc.c.local.", "A"),
    ]


def test_kubernetes_outside_of_a_pod(tmp_path: Path) -> None:
    missing = Kubernetes("web", port=5000, namespace_file=tmp_path / "none")
    with pytest.raises(OSError, match="pass namespace="):
        discovered(missing)
    (tmp_path / "odd").write_text("Not a name")
    with pytest.raises(OSError, match="name of a namespace"):
        discovered(Kubernetes("web", port=5000, namespace_file=tmp_path / "odd"))


# With the system's resolver


def test_the_system_is_asked() -> None:
    assert discovered(Dns("localhost", 5000, "A")) == ["127.0.0.1:5000"]
    assert "127.0.0.1:5000" in discovered(Dns("localhost", 5000))


def test_an_unknown_name_is_an_error_that_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match=r"cannot look up nobody\.invalid: Name or service not known"):
        discovered(Dns("nobody.invalid", 5000))


# With dnspython, and a small name server


class NameServer:
    """Answers from a table, over UDP on 127.0.0.1.

    Attributes:
        table: by name and kind of record, the data of the records. An unknown name does not
            exist; None is not answered at all.
    """

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], list[str] | None] = {}
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        while True:
            data, sender = self._sock.recvfrom(4096)
            if data == b"end":
                return
            query = dns_message.from_wire(data)
            question = query.question[0]
            kind = dns.rdatatype.to_text(question.rdtype)
            answer = dns_message.make_response(query)
            records = self.table.get((str(question.name), kind), [])
            if records is None:
                continue
            if records:
                rrset = dns.rrset.from_text(question.name, 5, "IN", kind, *records)
                answer.answer.append(rrset)
            elif not any(name == str(question.name) for name, _ in self.table):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._sock.sendto(answer.to_wire(), sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", self._sock.getsockname())
        self._thread.join()
        self._sock.close()


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.close()


def test_service_records_come_by_priority_and_weight(server: NameServer) -> None:
    server.table[SRV, "SRV"] = [
        "20 0 5003 late.example.com.",
        "10 1 5002 light.example.com.",
        "10 9 5001 heavy.example.com.",
    ]
    strategy = pickle.loads(pickle.dumps(Dns(SRV, nameservers=[server.address])))
    assert discovered(strategy) == [
        "heavy.example.com.:5001",
        "light.example.com.:5002",
        "late.example.com.:5003",
    ]


def test_address_records_of_own_nameservers(server: NameServer) -> None:
    server.table["web.example.com.", "A"] = ["10.0.0.2", "10.0.0.1"]
    server.table["web.example.com.", "AAAA"] = ["2001:db8::1"]
    options: dict[str, Any] = {"port": 5000, "nameservers": [server.address]}
    assert discovered(Dns("web.example.com", **options)) == [
        "10.0.0.1:5000",
        "10.0.0.2:5000",
        "[2001:db8::1]:5000",
    ]
    assert discovered(Dns("web.example.com", record="AAAA", **options)) == ["[2001:db8::1]:5000"]


def test_errors_of_the_nameserver_tell_the_name(server: NameServer) -> None:
    with pytest.raises(OSError, match=r"cannot look up _cluster\._tcp\.web.*does not exist"):
        discovered(Dns(SRV, nameservers=[server.address]))
    server.table[SRV, "A"] = ["10.0.0.1"]
    with pytest.raises(OSError, match=r"cannot look up .*does not contain an answer"):
        discovered(Dns(SRV, nameservers=[server.address]))


def test_a_silent_nameserver_can_be_given_up(server: NameServer) -> None:
    server.table[SRV, "SRV"] = None

    async def body() -> None:
        strategy = Dns(SRV, nameservers=[server.address])
        await strategy.start(ME, lambda addresses: None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(strategy.discover(), 0.1)
        server.table[SRV, "SRV"] = ["10 1 5001 a.example.com."]
        assert list(await strategy.discover()) == ["a.example.com.:5001"]
        await strategy.close()

    asyncio.run(body())


# Arguments


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str, *rest: Any) -> Any:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    for make in (
        lambda: Dns(SRV),
        lambda: Dns("web", 5000, "SRV"),
        lambda: Dns("web", 5000, nameservers=["10.0.0.1"]),
        lambda: Kubernetes("web", port_name="cluster"),
    ):
        with pytest.raises(ModuleNotFoundError, match=r"foundation-otp\[dns\]"):
            make()
    Dns("web", 5000)
    Dns(SRV, resolver=Asked({}))
    Kubernetes("web", port=5000)
    StaticList([])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("web", 5000, "MX"), "one of 'A', 'AAAA', 'SRV', 'auto', got 'MX'"),
        (("web",), "needs a port"),
        (("web", 0), "a port is"),
        (("web:5000",), "without a port"),
        (("", 5000), "no host"),
        ((None, 5000), "must be a name"),
        (("we b", 5000), "host name"),
        (("web", 5000, "A", None, "10.0.0.1"), "must be a list"),
        (("web", 5000, "A", None, ["10.0.0.1:x"]), "1 to 65535"),
    ],
)
def test_arguments_of_dns_are_checked(arguments: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Dns(*arguments)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "needs port="),
        ({"port": 0}, "a port is"),
        ({"port": 1, "service": "Web"}, r"Kubernetes\.service"),
        ({"port": 1, "service": None}, r"Kubernetes\.service"),
        ({"port": 1, "service": "a.b"}, r"Kubernetes\.service"),
        ({"port": 1, "namespace": ""}, r"Kubernetes\.namespace"),
        ({"port_name": "_x"}, r"Kubernetes\.port_name"),
        ({"port": 1, "cluster_domain": "a b"}, r"Kubernetes\.cluster_domain"),
    ],
)
def test_arguments_of_kubernetes_are_checked(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Kubernetes(**{"service": "web", **options})
