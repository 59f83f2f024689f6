"""Making the hosts of a node part of a cluster: what is installed in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.agent import Agent
from foundation.cluster.chaos import install_chaos
from foundation.cluster.describe import install_describe
from foundation.cluster.host import Binding, ClusterHost, Wire
from foundation.cluster.names import install_names
from foundation.cluster.pubsub.host import install_pubsub
from foundation.cluster.registry.host import install_registry
from foundation.cluster.supervisor.install import install_supervisor

if TYPE_CHECKING:
    from foundation.cluster.config import ClusterConfig
    from foundation.kernel.kernel import Kernel


def install_host(
    kernel: Kernel, config: ClusterConfig, binding: Binding, agent: str
) -> ClusterHost:
    """Make *kernel*, of a host other than the control host, follow the agent at *agent*."""
    cluster = ClusterHost(kernel, config, binding, agent)
    _install(cluster)
    return cluster


def install_agent(
    kernel: Kernel,
    config: ClusterConfig,
    binding: Binding,
    wire: Wire,
    *,
    generation: int,
    me: Any = None,
) -> Agent:
    """Make *kernel* the seat of the node's agent; ``agent.start()`` begins."""
    agent = Agent(kernel, config, binding, wire, generation=generation, me=me)
    _install(agent)
    return agent


def _install(cluster: ClusterHost) -> None:
    install_names(cluster)
    install_registry(cluster)
    install_chaos(cluster)
    install_describe(cluster)
    install_pubsub(cluster)
    install_supervisor(cluster)
