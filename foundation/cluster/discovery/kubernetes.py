"""Discovery of pods by a headless service. Needs no access to the Kubernetes API."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from foundation.cluster.discovery.addresses import check_port
from foundation.cluster.discovery.dns import Dns, Resolver
from foundation.cluster.discovery.protocol import Advertisement, Found

NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass
class Kubernetes:
    """Asks the cluster's DNS for the pods of a headless service (``clusterIP: None``).

    Set ``publishNotReadyAddresses: true`` on the service. Without it a pod is found only when it
    is ready, and it may well not get ready before it has found the others; and a pod whose
    readiness probe fails is no longer found.

    Args:
        service: name of the headless service.
        namespace: its namespace; by default the one of this pod.
        port: of the nodes; then the A records of the service are asked for.
        port_name: of a port of the service; then its SRV records are asked for instead, which
            bring the port. Needs the ``dns`` extra.
        cluster_domain: by default ``$CLUSTER_DOMAIN``, or else ``cluster.local``.
        namespace_file: where a pod reads the name of its own namespace.
        resolver: asks instead of the system; see ``Dns``.

    Raises:
        ValueError: an argument is wrong.
        ModuleNotFoundError: it needs the ``dns`` extra, which is not installed.
    """

    service: str
    namespace: str | None = None
    port: int | None = None
    port_name: str | None = None
    cluster_domain: str | None = None
    namespace_file: str | os.PathLike[str] = NAMESPACE_FILE
    resolver: Resolver | None = None
    _dns: Dns | None = field(default=None, init=False, repr=False, compare=False)

    name: ClassVar[str] = "kubernetes"

    def __post_init__(self) -> None:
        for argument in ("service", "namespace", "port_name"):
            value = getattr(self, argument)
            if value is None and argument != "service":
                continue
            if not isinstance(value, str) or not _LABEL.fullmatch(value):
                raise ValueError(
                    f"Kubernetes.{argument} must have up to 63 of a-z, 0-9 and '-', got {value!r}"
                )
        domain = self.cluster_domain
        if domain is not None and not (isinstance(domain, str) and _DOMAIN.fullmatch(domain)):
            raise ValueError(f"Kubernetes.cluster_domain must be a domain, got {domain!r}")
        if self.port is None and self.port_name is None:
            raise ValueError("Kubernetes needs port= (A records) or port_name= (SRV records)")
        if self.port is not None:
            check_port(self.port)
        self._resolving("namespace")  # so that a missing extra shows here, and not in the pod

    async def start(self, me: Advertisement, found: Found) -> None:
        """Find out the name to ask for.

        Raises:
            OSError: there is no file with the namespace, as in a pod; pass ``namespace``.
        """
        self._dns = self._resolving(self.namespace or _read_namespace(self.namespace_file))
        await self._dns.start(me, found)

    async def discover(self) -> Iterable[str]:
        """Return the addresses of the pods.

        Raises:
            OSError: there is no such service or no pod of it, or the DNS does not answer.
        """
        if self._dns is None:
            raise RuntimeError("this Kubernetes is not started")
        return await self._dns.discover()

    async def close(self) -> None:
        """Ask no more."""
        if self._dns is not None:
            await self._dns.close()
        self._dns = None

    def _resolving(self, namespace: str) -> Dns:
        domain = self.cluster_domain or os.environ.get("CLUSTER_DOMAIN") or "cluster.local"
        # With a final dot, or a pod's resolver would first try four search domains in vain.
        host = f"{self.service}.{namespace}.svc.{domain}."
        if self.port_name is not None:
            return Dns(f"_{self.port_name}._tcp.{host}", record="SRV", resolver=self.resolver)
        return Dns(host, self.port, record="A", resolver=self.resolver)


def _read_namespace(path: str | os.PathLike[str]) -> str:
    try:
        namespace = Path(path).read_text().strip()
    except OSError as error:
        raise OSError(
            f"cannot read this pod's namespace: {error}; outside of a pod, pass namespace="
        ) from error
    if not _LABEL.fullmatch(namespace):
        raise OSError(f"{path} does not contain the name of a namespace: {namespace[:80]!r}")
    return namespace
