"""What answers of nodes mean: each thing that keeps a cluster from forming has a finding."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster import ClusterConfig, Timing
from foundation.cluster.doctor.asking import Answer
from foundation.cluster.doctor.findings import Finding
from foundation.cluster.doctor.judge import judge, port_held
from foundation.cluster.looking import QUESTION, parse

TERMS = {"expected_size": None, "lease": 1.2, "takeover": 1.8}
OWN = "10.0.0.9:7000"


def told(node: str, known: str, **more: Any) -> Answer:
    """Return the answer of *node*, who knows these members (letters)."""
    defaults = {
        "cluster": "shop",
        "node": node,
        "settled": True,
        "versions": [1, 1],
        "terms": TERMS,
        "refused": "",
        "members": {name: f"10.0.0.{ord(name)}:7000" for name in known},
    }
    return Answer(f"10.0.0.{ord(node)}:7000", {**defaults, **more})


def judged(*answers: Answer, node: str | None = None, **config: Any) -> list[Finding]:
    return judge(ClusterConfig(name="shop", **config), node, OWN, answers)


def problems(found: list[Finding]) -> list[str]:
    return [each.check for each in found if each.status == "problem"]


def test_a_whole_cluster_has_no_problem() -> None:
    found = judged(told("a", "ab"), told("b", "ab"))
    assert [each.status for each in found] == ["ok"]
    assert "found a, b; this node would be one more" in found[0].text
    size = {**TERMS, "expected_size": 3}
    found = judged(told("a", "ab", terms=size), told("b", "ab", terms=size), expected_size=3)
    assert [each.status for each in found] == ["ok"]


CASES: list[tuple[list[Answer], dict[str, Any], list[str], str]] = [
    ([], {}, ["size"], "no node of this cluster was found"),
    ([], {"expected_size": 1}, [], ""),
    ([told("a", "a", cluster="other")], {}, ["cluster name", "size"], "'other'"),
    ([told("a", "a", versions=[2, 3])], {}, ["protocol"], "2 to 3"),
    ([told("a", "ab"), told("b", "ab", settled=False)], {}, [], "do not agree yet"),
    ([told("a", "a"), told("b", "b")], {}, ["agreement"], "'a' and 'b' answer here"),
    ([told("a", "ab"), told("b", "b")], {}, ["agreement"], "not in one cluster"),
    ([told("a", "a", refused="x:1 refused this node: no")], {}, ["admission"], "refused this"),
    ([told("a", "a")], {"expected_size": 2}, ["settings"], "is None there and 2 here"),
    (
        [told("a", "a", terms={**TERMS, "expected_size": 3})],
        {"expected_size": 3},
        ["size"],
        "3 nodes are expected, and there are 2 (found a; this node would be one more)",
    ),
    (
        [told("a", "abc", terms={**TERMS, "expected_size": 2})],
        {"expected_size": 2},
        ["size"],
        "2 nodes are expected, and there are 4",
    ),
    ([told("a", "a")], {"timing": Timing(lease=1.0)}, ["settings"], "lease is 1.2 there and 1.0"),
]


@pytest.mark.parametrize(("answers", "config", "checks", "text"), CASES)
def test_what_keeps_it_from_forming(
    answers: list[Answer], config: dict[str, Any], checks: list[str], text: str
) -> None:
    found = judged(*answers, **config)
    assert problems(found) == checks
    assert text in " ".join(each.text for each in found)
    assert all(each.advice for each in found if each.status != "ok")


def test_a_name_that_another_address_has_is_a_problem() -> None:
    found = judged(told("a", "ab"), told("b", "ab"), node="b")
    assert problems(found) == ["node name"]
    (name,) = [each for each in found if each.check == "node name"]
    assert "10.0.0.98:7000" in name.text
    assert OWN in name.text
    assert "FOUNDATION_NODE_NAME" in name.advice


def test_a_name_is_a_warning_where_the_address_of_this_node_is_not_known_beforehand() -> None:
    found = judge(ClusterConfig(name="shop"), "b", None, [told("a", "ab"), told("b", "ab")])
    (name,) = [each for each in found if each.check == "node name"]
    assert name.status == "warning"
    assert "if that is this node" in name.advice


@pytest.mark.parametrize(
    ("node", "cluster", "status"),
    [
        ("a", "shop", "ok"),
        ("b", "shop", "problem"),
        (None, "shop", "warning"),  # it may be this one: nobody has said its name
        ("a", "other", "problem"),
        (None, "other", "problem"),
    ],
)
def test_who_holds_the_port_of_this_node(node: str | None, cluster: str, status: str) -> None:
    found = port_held(ClusterConfig(name="shop"), node, told("a", "a", cluster=cluster))
    assert (found.check, found.status) == ("port", status)
    assert f"node 'a' of cluster {cluster!r}" in found.text
    assert status == "ok" or "FOUNDATION_CLUSTER_PORT" in found.advice


def test_this_node_may_be_a_member_already() -> None:
    at_home = {"a": "10.0.0.97:7000", "b": OWN}
    found = judged(told("a", "ab", members=at_home), node="b")
    assert [each.text for each in found] == [
        "found a, b. No size is expected (FOUNDATION_EXPECTED_NODES)"
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"hello", QUESTION, QUESTION + b"[]", QUESTION + b'{"cluster": "x"}']
)
def test_what_is_no_answer_is_not_believed(answer: bytes) -> None:
    with pytest.raises(ValueError):
        parse(answer)
