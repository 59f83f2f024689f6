"""``foundation config`` and ``foundation doctor``."""

from __future__ import annotations

import contextlib
import json
import signal
from typing import Any

import pytest

from tests.cli.conftest import Cli

SECRET = "a secret of this test"


@pytest.fixture(autouse=True)
def bare(cli: Cli) -> None:
    for name in list(cli.environment):
        if name.startswith("FOUNDATION_") or name == "KUBERNETES_SERVICE_HOST":
            del cli.environment[name]
    (cli.path / "pyproject.toml").write_text("[project]\n")


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["status"] for each in found["findings"]}


def test_config_says_where_each_value_is_from(cli: Cli) -> None:
    cli.environment["FOUNDATION_CLUSTER"] = "gossip"
    cli.environment["FOUNDATION_GOSSIP_SECRET"] = SECRET
    (cli.path / "pyproject.toml").write_text('[tool.foundation]\napp_name = "shop"\n')
    found = cli.json("config", "--json")
    assert (found["mode"], found["strategy"]) == ("apprentice", "gossip")
    settings = found["settings"]
    path = str(cli.path / "pyproject.toml")
    assert settings["name"] == {"value": "shop", "source": path}
    assert settings["gossip_secret"]["source"] == "FOUNDATION_GOSSIP_SECRET"
    assert settings["gossip_interface"] == {"value": "127.0.0.1", "source": "default"}
    assert settings["unix"] == {"value": True, "source": "default"}
    assert settings["cookie"]["source"] == "default"
    assert found["reasons"]
    assert "this machine only" in found["warnings"][0]
    code, out, _ = cli.run("config")
    assert code == 0
    assert SECRET not in out + json.dumps(found)
    (line,) = [line for line in out.splitlines() if line.startswith("name ")]
    assert line.split() == ["name", "shop", path]


def test_config_with_what_a_program_would_say(cli: Cli) -> None:
    assert cli.json("config", "--json")["mode"] == "off"
    assert cli.json("config", "--strategy", "true", "--json")["mode"] == "mortal"
    cli.environment["FOUNDATION_CLUSTER"] = "true"
    assert cli.json("config", "--json")["mode"] == "mortal"
    assert cli.json("config", "--strategy", "false", "--json")["mode"] == "off"
    found = cli.json("config", "--strategy", "loopback", "--json")
    assert (found["mode"], found["strategy"]) == ("apprentice", "loopback")
    code, _, err = cli.run("config", "--strategy", "lopback")
    assert code == 2
    assert "did you mean 'loopback'" in err
    assert "Traceback" not in err


def test_config_prints_what_can_be_read_before_what_is_wrong(cli: Cli) -> None:
    path = cli.path / "pyproject.toml"
    path.write_text(
        '[tool.foundation]\napp_name = "shop"\ncluster = {strategy = "gossip", ttl = 3}\n'
    )
    cli.environment |= {
        "FOUNDATION_GOSSIP_SECRET": "short",
        "FOUNDATION_CLUSTER_PORT": "7000",
        "FOUNDATION_WHATEVER": "private",
    }
    code, out, err = cli.run("config")
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["app_name"] == ["shop", str(path)]
    assert rows["gossip_ttl"] == ["3", str(path)]
    assert rows["port"] == ["7000", "FOUNDATION_CLUSTER_PORT"]
    assert "gossip_secret" not in rows
    assert "unknown variable 'FOUNDATION_WHATEVER'" in err
    assert "private" not in out + err
    del cli.environment["FOUNDATION_WHATEVER"]
    code, out, err = cli.run("config", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["settings"]["port"] == {"value": 7000, "source": "FOUNDATION_CLUSTER_PORT"}
    assert "got 5 bytes" in found["error"]
    assert "got 5 bytes" in err
    assert "short" not in out + err
    path.write_text("[tool.foundation]\nname = \n")
    code, out, err = cli.run("config")
    assert code == 1
    assert "7000" in out
    assert f"{path} is no TOML" in err


def test_config_warns_of_a_cookie_that_no_node_would_take(cli: Cli) -> None:
    cli.environment["FOUNDATION_COOKIE"] = "short"
    found = cli.json("config", "--json")
    assert found["settings"]["cookie"]["value"] == "(secret, 5 bytes)"
    assert any("has 5 bytes" in text for text in found["warnings"])
    assert "short" not in json.dumps(found)
    del cli.environment["FOUNDATION_COOKIE"]
    cli.environment["FOUNDATION_COOKIE_FILE"] = str(cli.path / "nowhere")
    assert "cannot read the cookie file" in cli.json("config", "--json")["warnings"][0]


def test_a_name_that_no_node_can_have_is_refused_before_a_node_is_started(cli: Cli) -> None:
    cli.environment["FOUNDATION_NODE_NAME"] = "a/b"
    for command in ("config", "doctor"):
        code, out, err = cli.run(command)
        assert code == 1, command
        assert "FOUNDATION_NODE_NAME must be a non-empty string without '/'" in out + err


def test_doctor_finds_nobody(cli: Cli) -> None:
    code, out, err = cli.run("doctor", "--patience", "0.2")
    assert not (cli.path / "config").exists()  # it makes no cookie
    assert code == 1, err
    assert "nothing here asks for a cluster" in out
    assert "PROBLEM  discovery: loopback: it works, and has named nobody" in out
    assert "-> start another node of this user" in out
    code, _, err = cli.run("doctor", "--patience", "0")
    assert code == 2


def test_doctor_with_settings_that_are_wrong(cli: Cli) -> None:
    cli.environment["FOUNDATION_CLUSTER"] = "kubernets"
    code, out, _ = cli.run("doctor", "--json")
    assert code == 1
    (finding,) = json.loads(out)["findings"]
    assert finding["status"] == "problem"
    assert "did you mean 'kubernetes'" in finding["text"]
    cli.environment["FOUNDATION_CLUSTER"] = "false"
    code, out, _ = cli.run("doctor", "--json")
    assert (code, statuses(json.loads(out))) == (1, {"settings": "problem"})


def test_a_node_that_the_environment_clusters_is_found_by_the_doctor(cli: Cli) -> None:
    cli.environment["FOUNDATION_CLUSTER"] = "true"
    cli.environment["FOUNDATION_APP_NAME"] = "shop"
    cli.environment["FOUNDATION_NODE_NAME"] = "one"
    process = cli.start("run", "myapp:App", "--hosts", "1")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("node one is up")
        assert cli.json("cluster", "--json")["cluster"] == "shop"
        del cli.environment["FOUNDATION_NODE_NAME"]
        found = cli.json("doctor", "--json")  # exit code 0
        assert found["healthy"]
        assert "found one; this node would be one more" in found["findings"][-1]["text"]
        cli.environment["FOUNDATION_COOKIE"] = "another cookie than the user's own"
        cli.environment["FOUNDATION_BIND"] = "127.0.0.1"
        code, out, _ = cli.run("doctor", "--json")
        assert code == 1
        assert any("wrong cookie" in each["text"] for each in json.loads(out)["findings"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
