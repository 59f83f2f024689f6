"""Making the hosts of a node part of a cluster: what is installed in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.agent import Agent
from foundation.cluster.chaos import install_chaos
from foundation.cluster.describe import install_describe
from foundation.cluster.host import Binding, ClusterHost, Wire
from foundation.cluster.lanes import LaneWire, install_lanes
from foundation.cluster.live_settings import install_live_settings
from foundation.cluster.measures import install_measures
from foundation.cluster.names import install_names
from foundation.cluster.overview import install_overview
from foundation.cluster.polling import HostPoll
from foundation.cluster.pubsub.host import install_pubsub
from foundation.cluster.registry.host import install_registry
from foundation.cluster.supervisor.install import install_supervisor

if TYPE_CHECKING:
    from foundation.cluster.config import ClusterConfig
    from foundation.kernel.kernel import Kernel


OpenWire = Callable[[], LaneWire] | None  # makes what carries bulk, where there is something


def install_host(
    kernel: Kernel,
    config: ClusterConfig,
    binding: Binding,
    agent: str,
    *,
    open_wire: OpenWire = None,
) -> ClusterHost:
    """Make *kernel*, of a host other than the control host, follow the agent at *agent*."""
    cluster = ClusterHost(kernel, config, binding, agent)
    _install(cluster, open_wire)
    return cluster


def install_agent(
    kernel: Kernel,
    config: ClusterConfig,
    binding: Binding,
    wire: Wire,
    *,
    generation: int,
    me: Any = None,
    open_wire: OpenWire = None,
) -> Agent:
    """Make *kernel* the seat of the node's agent; ``agent.start()`` begins."""
    agent = Agent(kernel, config, binding, wire, generation=generation, me=me)
    _install(agent, open_wire)
    return agent


def _install(cluster: ClusterHost, open_wire: OpenWire) -> None:
    lanes = install_lanes(cluster.kernel, open_wire)
    cluster.on_close.append(lanes.close)
    HostPoll(cluster.kernel)
    install_live_settings(cluster)
    install_measures(cluster)
    install_names(cluster)
    install_registry(cluster)
    install_chaos(cluster)
    install_describe(cluster)
    install_pubsub(cluster)
    install_supervisor(cluster)
    install_overview(cluster)
