"""Where the cookie comes from."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foundation.errors import CookieError, TransportError
from foundation.transport import TransportConfig, load_cookie
from foundation.transport.cookie import cookie_path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("FOUNDATION_COOKIE", raising=False)
    return tmp_path


def test_explicit_comes_first_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDATION_COOKIE", "from the environment")
    assert load_cookie("passed explicitly!") == (b"passed explicitly!", True)
    assert load_cookie() == (b"from the environment", True)


def test_generated_once_and_private() -> None:
    first, explicit = load_cookie()
    assert not explicit
    assert len(first) == 64
    assert load_cookie() == (first, False)
    assert stat.S_IMODE(cookie_path().stat().st_mode) == 0o600
    assert [each.name for each in cookie_path().parent.iterdir()] == ["cookie"]


def test_programs_that_start_together_agree() -> None:
    with ThreadPoolExecutor(8) as pool:
        cookies = {cookie for cookie, _ in pool.map(lambda _: load_cookie(), range(32))}
    assert len(cookies) == 1


def test_a_readable_file_is_refused() -> None:
    load_cookie()
    os.chmod(cookie_path(), 0o644)
    with pytest.raises(CookieError, match="private"):
        load_cookie()


def test_short_cookies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CookieError, match="16"):
        load_cookie("short")
    monkeypatch.setenv("FOUNDATION_COOKIE", "short")
    with pytest.raises(CookieError, match="FOUNDATION_COOKIE"):
        load_cookie()


def test_all_interfaces_need_an_address_to_advertise() -> None:
    cookie = b"explicit cookie 0123"
    with pytest.raises(TransportError, match="advertise_host"):
        TransportConfig(cookie=cookie, bind_host="0.0.0.0")
    config = TransportConfig(cookie=cookie, bind_host="0.0.0.0", advertise_host="10.1.2.3")
    assert config.host == "10.1.2.3"
