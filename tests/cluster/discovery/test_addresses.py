"""Addresses as text."""

from __future__ import annotations

import pytest

from foundation.cluster.discovery import (
    Advertisement,
    canonical,
    format_address,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7:5000", ("10.0.0.7", 5000)),
        ("Web-1.Example.com.:80", ("web-1.example.com", 80)),
        ("a_b:65535", ("a_b", 65535)),
        ("[::1]:5000", ("::1", 5000)),
        ("[2001:DB8:0::1]:1", ("2001:db8::1", 1)),
        ("[fe80::1%eth0]:7", ("fe80::1%eth0", 7)),
    ],
)
def test_well_formed(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected
    assert parse_address(format_address(*expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7", "10.0.0.7:9"),
        ("10.0.0.7:8", "10.0.0.7:8"),
        ("::1", "[::1]:9"),
        ("[::1]", "[::1]:9"),
        ("[::1]:8", "[::1]:8"),
        ("web", "web:9"),
    ],
)
def test_the_port_can_be_left_out(text: str, expected: str) -> None:
    assert canonical(text, 9) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no port"),
        ("web", "no port"),
        (":5000", "no host"),
        ("web:", "1 to 65535"),
        ("web:http", "1 to 65535"),
        ("web:0", "1 to 65535"),
        ("web:65536", "1 to 65535"),
        ("web:-1", "1 to 65535"),
        ("web:٣", "1 to 65535"),
        ("web:" + "1" * 5000, "1 to 65535"),
        ("::1:5000", "brackets"),
        ("[::1:5000", "brackets"),
        ("[::1]5000", "brackets"),
        ("[web]:5000", "brackets"),
        ("[::g]:5000", "malformed IP"),
        ("256.1.1.1:5000", "malformed IP"),
        ("1.2.3:5000", "malformed IP"),
        ("0.0.0.0:5000", "connect"),
        ("[::]:5000", "connect"),
        ("224.0.0.1:5000", "connect"),
        ("we b:5000", "host name"),
        ("web\n:5000", "host name"),
        ("bücher.de:5000", "xn--"),
        ("a..b:5000", "host name"),
        ("-a:5000", "host name"),
        ("a" * 300 + ":5000", "253"),
        (None, "not a string"),
        (b"web:5000", "not a string"),
        (5000, "not a string"),
        (("web", 5000), "not a string"),
    ],
)
def test_malformed(text: object, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_address(text)
    assert len(str(caught.value)) < 250


def test_an_advertisement_is_checked() -> None:
    Advertisement("shop", "a", "10.0.0.7:5000")
    with pytest.raises(ValueError, match=r"Advertisement\.cluster"):
        Advertisement("", "a", "10.0.0.7:5000")
    with pytest.raises(ValueError, match=r"Advertisement\.node"):
        Advertisement("shop", None, "10.0.0.7:5000")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Advertisement\.address.*port"):
        Advertisement("shop", "a", "10.0.0.7")
