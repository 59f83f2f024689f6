"""Discovery: finding addresses where other nodes might be.

``Discovery`` runs strategies, and reports the candidates that they name. A strategy only ever
adds candidates; who is a member is decided by the membership. Own strategies have the form of
``Strategy``, and ``foundation.testing.discovery_suite`` checks them.
"""

from foundation.cluster.discovery.addresses import canonical, format_address, parse_address
from foundation.cluster.discovery.dns import Dns, Resolver
from foundation.cluster.discovery.gossip import UdpGossip
from foundation.cluster.discovery.kubernetes import Kubernetes
from foundation.cluster.discovery.loopback import Loopback
from foundation.cluster.discovery.mdns import MulticastDNS
from foundation.cluster.discovery.poller import StrategyStatus
from foundation.cluster.discovery.protocol import Advertisement, Found, Strategy
from foundation.cluster.discovery.runner import Discovery
from foundation.cluster.discovery.static import StaticList

__all__ = [
    "Advertisement",
    "Discovery",
    "Dns",
    "Found",
    "Kubernetes",
    "Loopback",
    "MulticastDNS",
    "Resolver",
    "StaticList",
    "Strategy",
    "StrategyStatus",
    "UdpGossip",
    "canonical",
    "format_address",
    "parse_address",
]
