"""Rules: plain functions from metrics and settings to a recommendation.

    @optimizer_rule(safe=False)
    def too_few_thumbnailers(metrics, settings):
        waiting = metrics.messages_waiting
        if waiting > 1000:
            return Recommendation("2 workers", "4 workers", f"{waiting} messages wait")

A rule that is safe names the live setting it is about; its ``proposed`` is a number for that, and
``judged_by`` the metric that this is to lower: without having lowered it no change is kept::

    @optimizer_rule(safe=True, setting="cluster.hold_back")
    def hold_back(metrics, settings):
        return Recommendation(0.003, 0.001, "why", judged_by="registry_propagation_p50_us")

Rules of yours are known once their module is imported where the optimizer runs:
``configure(modules=("my_app.rules",))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from foundation.channels.state import COMPRESS_ABOVE
from foundation.cluster.live_settings import HOLD_BACK, SettingState
from foundation.health_monitor.judging import IMBALANCE, imbalance, too_many_fail
from foundation.health_monitor.values import HIGH, LOW, ClusterMetrics
from foundation.optimizer.values import Recommendation

Function = Callable[[ClusterMetrics, Mapping[str, SettingState]], Recommendation | None]


@dataclass(frozen=True)
class Rule:
    """A function that was registered by ``optimizer_rule``.

    Attributes:
        name: of the rule: that of the function.
        function: decides.
        safe: whether what it proposes may be applied without being asked.
        setting: the live setting that it is about; ``""``: none.
    """

    name: str
    function: Function
    safe: bool
    setting: str = ""

    def look(
        self, metrics: ClusterMetrics, settings: Mapping[str, SettingState]
    ) -> Recommendation | None:
        """Return what it proposes now; nothing where what it proposes is there already.

        Raises:
            TypeError: the function returned something else.
            ValueError: the rule is safe, and *judged_by* is no metric that is a number.
        """
        found = self.function(metrics, settings)
        if found is not None and not isinstance(found, Recommendation):
            raise TypeError(f"rule {self.name!r} must return a Recommendation, got {found!r}")
        if found is None or found.current == found.proposed:
            return None
        if self.safe and found.judged_by not in MEASURED:
            raise ValueError(
                f"rule {self.name!r} is safe, so judged_by= must be a field of ClusterMetrics that "
                f"is a number, which the change is to lower; got {found.judged_by!r}"
            )
        return replace(found, rule=self.name, safe=self.safe, setting=self.setting)


MEASURED = [f.name for f in fields(ClusterMetrics) if str(f.type).split(" ")[0] in ("int", "float")]
RULES: dict[str, Rule] = {}  # all that this interpreter knows, in the order of their definition


def optimizer_rule(*, safe: bool, setting: str = "") -> Callable[[Function], Function]:
    """Register a function as a rule; it stays the function that it is.

    Args:
        safe: in mode ``"auto"`` what it proposes is applied by itself.
        setting: name of the live setting that it would change; a safe rule needs one.

    Raises:
        TypeError: a safe rule has no setting.
    """
    if safe and not setting:
        raise TypeError("a safe rule must say setting=, the live setting that it would change")

    def register(function: Function) -> Function:
        name = function.__name__
        RULES[name] = Rule(name, function, safe, setting)
        return function

    return register


# The table is that of the design for a protocol that polls every 1000 ms: 5000 in large quiet
# clusters, 250 in small busy ones. Ours tells changes at once and holds them back for a moment to
# send several together, so what can be tuned is that moment; the proportions are kept.
HOLD_BACK_USUAL = 0.003
LARGE, SMALL = 50, 10  # nodes
LONGER, SHORTER = 5.0, 0.25

COMPRESS_SOON = 1_024  # bytes
BUSY = 1000.0  # broadcasts a second

TOPIC_BUSY = 5000.0  # broadcasts a second on one topic
NEAR = 0.8  # of the limit of a mailbox
LANE_NEAR = 0.9  # of what may wait for one host
SKEW = 1.0  # seconds between the wall clocks of two nodes


def hold_back_for(nodes: int, churn: str) -> float:
    """Return the design's value for a cluster of so many nodes and that level of churn."""
    if nodes > LARGE and churn == LOW:
        return HOLD_BACK_USUAL * LONGER
    if nodes < SMALL and churn == HIGH:
        return HOLD_BACK_USUAL * SHORTER
    return HOLD_BACK_USUAL


@optimizer_rule(safe=True, setting=HOLD_BACK)
def registry_hold_back(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """How long changes of registries wait for others to travel with."""
    if HOLD_BACK not in settings:
        return None
    current = settings[HOLD_BACK].value
    proposed = hold_back_for(metrics.node_count, metrics.registry_churn_rate)
    shorter = proposed < current
    return Recommendation(
        current,
        proposed,
        f"{metrics.node_count} nodes with {metrics.registry_churn_rate} churn "
        f"({metrics.churn_per_node():.1f} changes per node and minute)",
        judged_by="registry_propagation_p50_us" if shorter else "frames_per_second",
    )


@optimizer_rule(safe=True, setting=COMPRESS_ABOVE)
def compress_broadcasts(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """From what size on broadcasts of channels are compressed.

    Where that saves nothing, as with small messages or such as cannot be compressed, it is not
    kept. Where there are few broadcasts again it stays: there it costs next to nothing.
    """
    if COMPRESS_ABOVE not in settings:
        return None
    rate, current = metrics.broadcasts_per_minute / 60.0, settings[COMPRESS_ABOVE].value
    if rate <= BUSY or current <= COMPRESS_SOON:
        return None
    return Recommendation(
        current,
        COMPRESS_SOON,
        f"{rate:.0f} broadcasts a second, {metrics.bytes_per_second:.0f} bytes between hosts",
        judged_by="bytes_per_broadcast",
    )


@optimizer_rule(safe=False)
def install_compression(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """Where there is nothing yet that could be tuned."""
    rate = metrics.broadcasts_per_minute / 60.0
    if COMPRESS_ABOVE in settings or rate <= BUSY:
        return None
    return Recommendation(
        "no compression",
        "channels.use(Compression(1024)), where messages are large and alike",
        f"{rate:.0f} broadcasts a second",
    )


@optimizer_rule(safe=False)
def split_busy_topics(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """One topic is one order: what needs none can be spread."""
    busy = {t: r for t, r in metrics.broadcasts_per_second.items() if r > TOPIC_BUSY}
    if not busy:
        return None
    topic = max(busy, key=lambda one: busy[one])
    return Recommendation(
        f"one topic {topic!r}",
        "several topics, or start_partitioned workers that subscribe to one each",
        f"{busy[topic]:.0f} broadcasts a second are said on it",
    )


@optimizer_rule(safe=False)
def set_expected_size(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """Without it no majority is known."""
    if metrics.expected_is_set or metrics.node_count < 2:
        return None
    return Recommendation(
        None,
        metrics.expected_nodes,
        f"{metrics.node_count} nodes run without ClusterConfig.expected_size, so a minority "
        "cannot know that it is one, and on_minority='stop' cannot be used",
    )


@optimizer_rule(safe=False)
def mend_quorum(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """An expected size that is wrong is worse than none."""
    sizes = dict.fromkeys(metrics.expected_sizes.values())
    size = metrics.expected_nodes
    if len(sizes) > 1:
        shown = ", ".join(f"{node}: {n}" for node, n in sorted(metrics.expected_sizes.items()))
        return Recommendation(
            shown, "the same on all nodes", "nodes have different expected sizes, so two groups "
            "could both take themselves for the majority",
        )  # fmt: skip
    if not metrics.expected_is_set:
        return None
    if metrics.node_count > size:
        return Recommendation(
            size,
            metrics.node_count,
            f"{metrics.node_count} nodes run where {size} are expected: after a split two groups "
            "could both take themselves for the majority",
        )
    if size == 2:
        return Recommendation(
            2, 3, "of two nodes both are needed for a majority, so the loss of either stops all "
            "that is started with on_minority='stop'",
        )  # fmt: skip
    return None


@optimizer_rule(safe=False)
def relieve_mailboxes(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """A server that gets more than it can do."""
    limit = metrics.settings.mailbox_limit
    full = [box for box in metrics.longest_mailboxes if box.messages >= NEAR * limit]
    if not full:
        return None
    box = full[0]
    return Recommendation(
        f"{box.label!r} on {box.host}",
        "more of them (start_partitioned), or senders that wait (call)",
        f"{box.messages} messages wait in its mailbox, growing by {box.growth:.0f} a minute",
    )


@optimizer_rule(safe=False)
def relieve_lanes(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """Bulk that is sent faster than it leaves fills its lane, and is dropped then."""
    used, dropped = metrics.bulk_utilisation, metrics.bulk_dropped_per_minute
    if used <= LANE_NEAR and not dropped:
        return None
    where = metrics.bulk_fullest or "some lanes"
    return Recommendation(
        f"{where}: {100 * used:.0f} % full",
        "senders that wait (await pubsub.drained() between messages), smaller or fewer messages, "
        "Compression where they can be compressed, or a faster network",
        f"{dropped:.0f} bulk messages were dropped in a minute: all are that find 64 MiB waiting",
    )


@optimizer_rule(safe=False)
def rebalance(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """One node has much more to run than another; nothing is ever moved by itself."""
    uneven = imbalance(metrics)
    if uneven is None:
        return None
    full, empty = (metrics.get(name) for name in uneven)
    assert full is not None
    assert empty is not None
    return Recommendation(
        {full.node: full.children, empty.node: empty.children},
        "process_manager.migrate some, or look for labels and earlier moves that bind them",
        f"node {full.node} runs more than {IMBALANCE:g} times as many children as {empty.node}",
    )


@optimizer_rule(safe=False)
def look_at_errors(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """Many calls fail."""
    if not too_many_fail(metrics):
        return None
    return Recommendation(
        f"{metrics.error_rate_percent:.1f} % of calls fail",
        f"{metrics.settings.error_percent:g} % at most: see the log for crashes and timeouts, "
        "raise timeouts or add capacity",
        f"{metrics.calls_failed_per_minute:.0f} calls a minute have failed",
    )


@optimizer_rule(safe=False)
def align_clocks(
    metrics: ClusterMetrics, settings: Mapping[str, SettingState]
) -> Recommendation | None:
    """Nothing here orders by wall clocks, but people who read logs of two nodes do."""
    if metrics.clock_skew_seconds <= SKEW:
        return None
    ahead = {n.node: n.clock_ahead_seconds or 0.0 for n in metrics.nodes}
    shown = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in sorted(ahead.items()))
    return Recommendation(
        shown,
        f"within {SKEW:g} s: run NTP (chrony, systemd-timesyncd) on all machines",
        f"wall clocks are {metrics.clock_skew_seconds:.1f} s apart, so the logs of these nodes "
        "cannot be read together, and certificates may seem to be of another time",
    )
