"""The manifest of the Kubernetes page: what can be known of it without Kubernetes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from foundation.cluster.discovery import Kubernetes
from foundation.cluster.modes import CLUSTER_PORT, SETTINGS, Probes, resolve
from foundation.cluster.modes.settings import BY_ENV, OTHER_ENV
from tests.docs.blocks import page

PAGE = "docs/how-to/kubernetes.md"
BLOCKS = {block.language: block.body for block in page(PAGE)}
HERE = {"metadata.name": "shop-0", "status.podIP": "10.1.2.3"}


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """Return the objects of the manifest by kind."""
    yaml = pytest.importorskip("yaml")
    found = list(yaml.safe_load_all(BLOCKS["yaml"]))
    assert len(found) == 3
    return {each["kind"]: each for each in found}


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]


def environment(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the variables that a pod gets."""
    found = {}
    for entry in container(manifest)["env"]:
        if "value" in entry:
            assert isinstance(entry["value"], str)  # others are refused by Kubernetes
            found[entry["name"]] = entry["value"]
        elif "fieldRef" in entry["valueFrom"]:
            found[entry["name"]] = HERE[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            secret = manifest["Secret"]
            assert reference["name"] == secret["metadata"]["name"]
            found[entry["name"]] = secret["stringData"][reference["key"]]
    return found


def test_the_manifest_is_sound(manifest: dict[str, Any]) -> None:
    service, pods = manifest["Service"], manifest["StatefulSet"]
    spec = pods["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == pods["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"] == pods["spec"]["template"]["metadata"]["labels"]
    assert pods["spec"]["serviceName"] == service["metadata"]["name"]
    assert [port["port"] for port in service["spec"]["ports"]] == [CLUSTER_PORT]
    assert service["metadata"]["name"] != "foundation"
    grace = spec["terminationGracePeriodSeconds"]
    assert grace > 2 * float(environment(manifest)["FOUNDATION_DRAIN_SECONDS"])


def test_a_pod_gets_the_settings_that_are_meant(manifest: dict[str, Any]) -> None:
    env = environment(manifest)
    assert [name for name in env if name not in BY_ENV and name not in OTHER_ENV] == []
    probes = Probes(exists=lambda path: True)
    resolved = resolve({**env, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, probes=probes)
    config = resolved.config
    assert (resolved.mode, resolved.strategy) == ("apprentice", "kubernetes")
    assert resolved.warnings == ()
    assert resolved.node_name == "shop-0"
    assert config is not None
    assert config.expected_size == manifest["StatefulSet"]["spec"]["replicas"]
    assert config.majority == 2
    assert (config.bind, config.port) == ("10.1.2.3", CLUSTER_PORT)
    [strategy] = config.strategies or ()
    assert isinstance(strategy, Kubernetes)
    assert strategy.service == manifest["Service"]["metadata"]["name"]


def test_the_shell_block_has_the_variables_of_the_manifest(manifest: dict[str, Any]) -> None:
    shell = next(b.body for b in page(PAGE) if b.language == "sh" and b.runs)
    exported = dict(re.findall(r"\b(FOUNDATION_\w+)=(\S+)", shell))
    said = environment(manifest)
    assert set(exported) == {*said, SETTINGS["k8s_namespace"].env}
    for name in set(said) - {"FOUNDATION_COOKIE"}:
        assert exported[name] == said[name]


def test_the_probes_are_commands_that_there_are(manifest: dict[str, Any]) -> None:
    pod = container(manifest)
    commands = [pod[probe]["exec"]["command"] for probe in ("readinessProbe", "livenessProbe")]
    assert commands == [["foundation", "cluster"], ["foundation", "tree"]]
    for command in commands:
        assert_parses(command)


def test_the_image_runs_a_command_that_there_is() -> None:
    last = BLOCKS["dockerfile"].strip().splitlines()[-1]
    assert_parses(json.loads(last.removeprefix("CMD ")))


def test_commands_for_a_pod_exist() -> None:
    found = re.findall(r"kubectl exec shop-0 -- ([^\n`]+)", "".join(b.body for b in page(PAGE)))
    assert found
    for command in found:
        assert_parses(command.split())


def assert_parses(command: list[str]) -> None:
    """Fail unless *command* is one of ``foundation`` with arguments that it has."""
    app = pytest.importorskip("foundation.cli.app").app
    assert command[0] == "foundation"
    function, _, unused = app.parse_known_args(command[1:])[:3]
    assert function.__name__ == command[1]
    assert not unused
