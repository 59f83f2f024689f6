"""``foundation run``, ``top`` and ``tree``, against real nodes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Cli, until


@contextlib.contextmanager
def running(cli: Cli, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = cli.start("run", "myapp:App", *arguments)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "is up" in line, process.communicate(timeout=20)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_tree_shows_the_supervision_tree(cli: Cli) -> None:
    with running(cli, "--hosts", "1"):
        code, out, err = cli.run("tree")
        assert code == 0, err
        lines = out.splitlines()
        assert "foundation.root" in lines[0]
        assert "Facades" in lines[1]
        assert "App" in lines[-3]
        assert "Counter 'one'" in lines[-2]
        assert "Counter 'two'" in lines[-1]
        found = cli.json("tree", "--json")
        assert found["missing"] == {"nodes": [], "hosts": []}
        root = found["tree"][0]["pid"]
        below = [row for row in found["tree"] if row["parent"] == root]
        assert [row["class"] for row in below] == ["Facades", "App"]
        names = [row["name"] for row in found["tree"] if row["parent"] == below[1]["pid"]]
        assert names == ["one", "two"]


def test_top_shows_hosts_processes_and_restarts(cli: Cli) -> None:
    with running(cli, "--hosts", "2", "--name", "t"):
        first = cli.json("top", "--json")
        hosts = {row["host"]: row for row in first["hosts"]}
        assert list(hosts) == ["t/control", "t/main", "t/w1", "t/w2"]
        assert first["missing"] == {"nodes": [], "hosts": []}
        assert first["cluster"] is None
        (home,) = [p for p in first["processes"] if p["class"] == "App"]
        assert (home["host"], home["restarts"]) == ("t/w1", 0)
        assert hosts["t/w1"]["rss_bytes"] > 1_000_000
        assert hosts["t/w1"]["cpu_percent"] >= 0.0
        os.kill(hosts["t/w1"]["os_pid"], signal.SIGKILL)

        def root_restarts() -> int:
            processes = cli.json("top", "--json")["processes"]
            (root,) = [p for p in processes if p["name"] == "foundation.root"]
            return int(root["restarts"])

        until(lambda: root_restarts() == 1, 30.0)
        code, out, _ = cli.run("top", "--once")
        assert code == 0
        assert "foundation.root" in out
        assert "HOST" in out
        code, out, _ = cli.run("top", "--section", "nodes")
        assert code == 0
        assert "foundation.root" not in out


def test_top_and_tree_show_the_whole_cluster_by_any_node(cli: Cli) -> None:
    shop = ("--cluster", "shop", "--hosts", "1")
    with running(cli, *shop, "--name", "s1"), running(cli, *shop, "--name", "s2"):

        def names(*arguments: str) -> list[str]:
            found = cli.json("top", "--json", *arguments)
            return [row["name"] for row in found["nodes"] if row["answered"]]

        until(lambda: names() == ["s1", "s2"], 30.0)
        assert names("--only", "s2") == ["s2"]
        assert names("--node", "s2") == ["s1", "s2"]
        assert cli.json("top", "--json", "--node", "s2")["asked"] == "s2"
        assert names("--cluster", "shop") == ["s1", "s2"]
        code, out, _ = cli.run("top")
        assert code == 0
        assert out.startswith("cluster shop: ")
        code, out, _ = cli.run("tree")
        assert code == 0
        assert out.count("foundation.root") == 2
        assert out.count("Counter 'one'") == 2
        code, out, _ = cli.run("tree", "--only", "s2")
        assert code == 0
        assert out.count("Counter 'one'") == 1
        assert {row["node"] for row in cli.json("tree", "--json")["tree"]} == {"s1", "s2"}
        code, out, _ = cli.run("cluster")
        assert code == 0
        assert "cluster 'shop' as node 's1' sees it: 2 members" in out
        assert cli.json("cluster", "--node", "s2", "--json")["node"] == "s2"
        assert cli.run("trace", "--seconds", "0.1")[0] == 0
        for option in ("--node", "--only"):
            code, _, err = cli.run("top", option, "s3")
            assert code == 1
            assert "there is no node 's3'" in err
        with running(cli, "--name", "other", "--hosts", "1"):
            assert names("--cluster", "shop") == ["s1", "s2"]
            assert names("--node", "other") == ["other"]
            assert names("--only", "other") == ["other"]
            code, _, err = cli.run("top")
            assert code == 1
            assert "several nodes run: other, s1, which are not one cluster" in err


def test_several_nodes_need_a_name(cli: Cli) -> None:
    with running(cli, "--name", "a", "--hosts", "1"), running(cli, "--name", "b", "--hosts", "1"):
        code, _, err = cli.run("tree")
        assert code == 1
        assert "several nodes run: a, b" in err
        assert cli.run("tree", "--node", "a")[0] == 0
        code, _, err = cli.run("tree", "--node", "c")
        assert code == 1
        assert "no node 'c'; running: a, b" in err


def test_nothing_runs(cli: Cli) -> None:
    code, _, err = cli.run("top")
    assert code == 1
    assert "no node with hosts runs" in err


def test_wrong_cookie(cli: Cli) -> None:
    wrong = cli.path / "wrong"
    wrong.write_text("x" * 40)
    with running(cli, "--hosts", "1"):
        code, _, err = cli.run("tree", "--cookie-file", str(wrong))
        assert code == 1
        assert "another cookie" in err
        right = cli.path / "right"
        assert cli.run("tree", "--cookie-file", str(right))[0] == 2
        assert cli.run("tree")[0] == 0  # and it serves on


def test_explicit_cookie_file(cli: Cli) -> None:
    secret = cli.path / "secret"
    secret.write_text("s" * 40)
    with running(cli, "--hosts", "1", "--cookie-file", str(secret)):
        assert cli.run("tree", "--cookie-file", str(secret))[0] == 0


def test_taken_port(cli: Cli) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, _, err = cli.run("run", "myapp:App", "--hosts", "1", "--port", str(port))
        assert code == 1
        assert f"port {port} is taken" in err


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nomodule:App", "no module 'nomodule'"),
        ("myapp:Nope", "has no 'Nope'"),
        ("myapp:number", "must be a Supervisor or GenServer class, got 5"),
        ("myapp", "must be 'module:App'"),
    ],
)
def test_what_cannot_be_run(cli: Cli, target: str, text: str) -> None:
    code, _, err = cli.run("run", target)
    assert code == 2
    assert text in err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:\n", 'wrong.py", line 1'),
        ("import other\n", "ValueError: no good"),
    ],
)
def test_a_module_that_fails_is_told_with_its_own_frames_only(
    cli: Cli, source: str, said: str
) -> None:
    (cli.path / "wrong.py").write_text(source)
    (cli.path / "other.py").write_text("def f():\n    raise ValueError('no good')\n\nf()\n")
    code, _, err = cli.run("run", "wrong:App")
    assert code == 1
    assert err.startswith("foundation: module 'wrong' cannot be imported: ")
    assert said in err
    assert "importlib" not in err
    assert "loading.py" not in err
    if "other" in source:
        assert err.count('File "') == 3


def test_an_application_that_cannot_start(cli: Cli) -> None:
    code, _, err = cli.run("run", "myapp:Broken", "--hosts", "1")
    assert code == 1
    assert "cannot start" in err


def test_version_and_help(cli: Cli) -> None:
    import foundation

    assert foundation.__version__ in cli.run("--version")[1]
    code, out, _ = cli.run("--help")
    assert code == 0
    assert "foundation run bank:Bank" in out
    assert "Exit codes: 0 done, 1 failed, 2 the command line is wrong" in out


@pytest.mark.parametrize("command", ["demo", "run", "tree", "top", "cluster", "dashboard"])
def test_help_of_each_command_ends_in_command_lines(cli: Cli, command: str) -> None:
    code, out, _ = cli.run(command, "--help")
    assert code == 0
    assert out.splitlines()[-1].strip().startswith(f"foundation {command}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"], ["run"], ["demo", "--files", "x"], ["demo", "--nope"],
        ["top", "--interval", "0"], ["top", "--section", "x"], ["tree", "--cluster"],
        ["run", "myapp:App", "--hosts", "-1"], ["run", "myapp:App", "--port", "70000"],
        ["run", "myapp:App", "--busy-wait", "1"], ["run", "myapp:App", "--name", "a/b"],
        ["run", "myapp:App", "--stock", "--cluster", "x"], ["doctor", "--strategy", "gosip"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2(cli: Cli, arguments: list[str]) -> None:
    code, _, err = cli.run(*arguments)
    assert code == 2
    assert err
    assert "Traceback" not in err
