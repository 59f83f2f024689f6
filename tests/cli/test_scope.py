"""``foundation trace`` and ``foundation replay``, against real nodes."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.cli.conftest import Cli, until
from tests.cli.test_run_and_look import running

SHOP = """
from foundation import scope
from foundation.otp import GenServer, Supervisor, call, me, send_after


class Stock(GenServer):
    def init(self):
        self.left = 100

    def handle_call(self, request, caller):
        self.left -= 1
        return self.left


class Shop(GenServer):
    def init(self):
        self.sold = []
        send_after(0.05, me(), "tick")

    async def handle_info(self, message):
        self.sold.append(await call("stock", "apple"))
        send_after(0.05, me(), "tick")


class App(Supervisor):
    def init(self):
        return [Stock.spec(name="stock", host="w2"), Shop.spec(name="shop")]
"""


@pytest.fixture
def shop(cli: Cli) -> Cli:
    (cli.path / "myapp.py").write_text(SHOP)
    return cli


def test_trace_draws_who_said_what(shop: Cli) -> None:
    with running(shop, "--hosts", "2", "--name", "t"):
        code, out, err = shop.run("trace", "--seconds", "0.5", "--width", "100")
        assert code == 0, err
        lines = out.splitlines()
        assert "shop" in lines[0]
        assert "stock" in lines[0]
        assert any("call 'apple'" in line and "▶│" in line for line in lines)
        assert "from 4 hosts of 1 nodes" in lines[-1]
        started = time.monotonic()
        code, out, err = shop.run("trace", "--seconds", "60", "--events", "4", "--mermaid")
        assert code == 0, err
        assert time.monotonic() - started < 30
        assert out.startswith("sequenceDiagram\n")
        assert "->>" in out
        found = shop.json("trace", "--seconds", "0.5", "--of", "stock", "--json")
        assert found["complete"] is True
        assert {e["kind"] for e in found["events"]} == {"call", "reply"}
        assert set(found["labels"].values()) == {"shop", "stock"}


def test_without_filters_the_trace_is_the_applications(shop: Cli) -> None:
    with running(shop, "--hosts", "2", "--name", "t"):

        def pairs(*options: str) -> list[set[str]]:
            found = shop.json("trace", "--seconds", "1", "--json", *options)
            label = found["labels"]
            return [{label.get(e["sender"]), label.get(e["receiver"])} for e in found["events"]]

        assert pairs()
        assert all(each & {"shop", "stock"} for each in pairs())
        until(lambda: any(not e & {"shop", "stock"} for e in pairs("--internal")), 60.0)


def test_a_name_that_nobody_has_is_an_error_and_those_like_it_are_said(shop: Cli) -> None:
    with running(shop, "--hosts", "2", "--name", "t"):
        code, out, err = shop.run("trace", "--seconds", "0.2", "--of", "stok", "--of", "shop")
        assert code == 1
        assert "no host knows the name 'stok'; like it: stock" in err
        assert "'shop'" not in err
        assert "call 'apple'" in out
        code, out, err = shop.run("trace", "--seconds", "0.2", "--of", "zzz")
        assert code == 1
        assert "no host knows the name 'zzz'\n" in err
        assert "(no events)" in out
        code, out, err = shop.run("trace", "--seconds", "0.2", "--of", "foundation.root")
        assert code == 0


def test_ctrl_c_ends_a_trace_and_shows_it(shop: Cli) -> None:
    with running(shop, "--hosts", "2"):
        tracing = shop.start("trace", "--seconds", "60", "--json")
        assert tracing.stderr is not None
        try:
            assert tracing.stderr.readline().startswith("tracing 4 hosts of 1 nodes for 60 s")
            code, _, err = shop.run("trace", "--seconds", "0.1")
            assert code == 1
            assert "the trace 'foundation trace' runs on node" in err
        except BaseException:
            tracing.kill()
            tracing.communicate()
            raise
        tracing.send_signal(signal.SIGINT)
        out, err = tracing.communicate(timeout=30)
        assert tracing.returncode == 0, err
        assert json.loads(out)["name"] == "foundation trace"
        assert shop.run("trace", "--seconds", "0.1")[0] == 0  # and it is over


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--seconds", "0"), "--seconds must be greater than 0"),
        (("--sample", "2"), "--sample must be from 0 to 1"),
        (("--events", "0"), "--events must be 1 or more"),
    ],
)
def test_wrong_command_lines(cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    code, _, err = cli.run("trace", *arguments)
    assert code == 2
    assert text in err


RECORD = """
import asyncio, random, sys
import foundation
from foundation import scope
from foundation.otp import call
from recorded import Dice


async def body():
    pid = await scope.start_recorded(Dice, sys.argv[1])
    await call(pid, "count")
    await call(pid, "count")
    if sys.argv[2:]:
        await call(pid, "roll")


with foundation.start(hosts=0) as node:
    node.run(body)
"""

DICE = """
import random
from foundation.otp import GenServer


class Dice(GenServer):
    def init(self):
        self.total = 0

    def handle_call(self, request, caller):
        self.total += 1 if request == "count" else random.randrange(10**9)
        return self.total
"""


def test_replay_prints_the_steps_and_says_where_they_diverge(cli: Cli) -> None:
    import subprocess
    import sys

    (cli.path / "recorded.py").write_text(DICE)
    (cli.path / "program.py").write_text(RECORD)
    for arguments in (["a.rec"], ["b.rec", "roll"]):
        subprocess.run(
            [sys.executable, "program.py", *arguments],
            cwd=cli.path, env=cli.environment, check=True, timeout=60,
        )  # fmt: skip
    code, out, err = cli.run("replay", "a.rec", "--states")
    assert code == 0, err
    assert "2: call 'count'" in out
    assert "total = 2" in out
    assert "Dice: 3 steps, the same states as recorded" in out
    code, out, _ = cli.run("replay", "b.rec")
    assert code == 1
    assert "step 3 diverged (reply)" in out
    found = json.loads(cli.run("replay", "b.rec", "--json")[1])
    assert found["class"] == "Dice"
    assert found["diverged"].startswith("step 3 diverged")
    assert [step["kind"] for step in found["steps"]] == ["init", "call", "call", "call"]
    assert cli.run("replay", "b.rec", "--until", "2")[0] == 0
    code, _, err = cli.run("replay", "none.rec")
    assert code == 1
    assert "cannot be read" in err
