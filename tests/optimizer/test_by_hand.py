"""The optimizer leaves alone what somebody has set by hand."""

from __future__ import annotations

import pytest

from foundation.cluster.live_settings import HOLD_BACK, change_setting
from foundation.optimizer import SERVER, Tune, configure, live_settings, run_once
from foundation.otp import call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.optimizer.kit import SHORT, USUAL, churn, hold_backs, optimized, outcomes, started


def kept_short(cluster: ClusterSimulation) -> None:
    """Have the optimizer keep the short hold-back, after one look and a trial of 40 s."""
    started(cluster)
    for node in "abc":
        cluster.spawn(node, churn)
    quick = {"agree": 1, "gap": 1.0, "trial": 40.0, "cooldown": 60.0}
    cluster.run("a", lambda: configure(mode="auto", **quick))
    cluster.advance(110.0)
    assert outcomes(cluster)[-1].startswith("kept")
    assert hold_backs(cluster) == dict.fromkeys("abc", SHORT)


@pytest.mark.parametrize("mode", ["off", "recommend"])
def test_only_in_auto_mode_are_nodes_given_what_was_kept(mode: str) -> None:
    with optimized(21) as cluster:
        kept_short(cluster)
        cluster.nodes["b"].agent.hosts.hold_back = USUAL  # as if it had begun anew
        cluster.run("a", lambda: configure(mode=mode))
        cluster.run("a", run_once)
        assert hold_backs(cluster)["b"] == USUAL
        cluster.run("a", lambda: configure(mode="auto"))
        cluster.run("a", run_once)
        assert hold_backs(cluster)["b"] == SHORT


@pytest.mark.parametrize("mode", ["off", "recommend", "auto"])
def test_what_an_operator_sets_afterwards_wins_over_what_was_kept(mode: str) -> None:
    with optimized(22) as cluster:
        kept_short(cluster)
        cluster.run("a", lambda: configure(mode=mode))
        cluster.run("b", lambda: change_setting(HOLD_BACK, 0.02))
        cluster.run("a", run_once)
        wanted = {"a": SHORT, "b": 0.02, "c": SHORT}
        assert hold_backs(cluster) == wanted
        assert "no longer kept: set to 0.02 by hand" in outcomes(cluster)
        cluster.advance(70.0)  # beyond the rule's pause
        cluster.run("a", run_once)
        assert hold_backs(cluster) == wanted


def test_what_an_operator_sets_while_it_is_on_trial_stays_and_the_rest_is_reverted() -> None:
    with optimized(23) as cluster:
        started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=300.0))
        cluster.until(lambda: hold_backs(cluster) == dict.fromkeys("abc", SHORT), 600.0, step=1.0)
        cluster.run("c", lambda: change_setting(HOLD_BACK, 0.02))
        cluster.advance(130.0)
        assert outcomes(cluster)[-1] == "reverted: set to 0.02 by hand"
        cluster.advance(400.0)  # beyond the time in which nodes change back what nobody confirms
        assert hold_backs(cluster) == {"a": USUAL, "b": USUAL, "c": 0.02}


def test_a_trial_that_nobody_confirms_leaves_what_was_set_by_hand() -> None:
    with optimized(24, nodes=1) as cluster:
        started(cluster)

        async def tune() -> None:
            await call(SERVER, Tune(HOLD_BACK, 0.01, 50.0))
            await change_setting(HOLD_BACK, 0.02)

        cluster.run("a", tune)
        cluster.advance(60.0)
        assert hold_backs(cluster) == {"a": 0.02}


def test_it_is_known_who_has_set_a_value() -> None:
    with optimized(25, nodes=1) as cluster:
        started(cluster)

        def who() -> str:
            states = cluster.run("a", live_settings)["a"]
            return str(states[HOLD_BACK].changed_by)

        assert who() == ""
        cluster.run("a", lambda: change_setting(HOLD_BACK, 0.02))
        assert who() == "operator"
        cluster.run("a", lambda: call(SERVER, Tune(HOLD_BACK, 0.01)))
        assert who() == SERVER
        cluster.run("a", lambda: change_setting(HOLD_BACK, 0.01, by="me"))
        assert who() == "me"
        cluster.nodes["a"].agent.hosts.hold_back = USUAL  # as if it had begun anew
        assert who() == ""
        cluster.run("a", lambda: change_setting(HOLD_BACK, 0.02, by=""))
        assert who() == ""
