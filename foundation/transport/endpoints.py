"""Who listens where: addresses, and what a starting process is told."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from thespian.actors import ActorAddress
from thespian.system.addressManager import ActorLocalAddress
from thespian.system.messages.convention import CONV_ADDR_IPV4_CAPABILITY

from foundation.transport.addresses import (
    DEFAULT_PORT,
    EndpointAddress,
    RoutedEndpointAddress,
    TXOnlyAdminAddress,
    new_incarnation,
    parse_address,
    port_is_taken,
)
from foundation.transport.config import TransportConfig

HOST_CAPABILITY = "Foundation Host"
BOOT_CAPABILITY = "Foundation Boot"


@dataclass(frozen=True)
class Endpoint:
    """What a starting process needs to make its transport; carries the cookie, privately.

    Attributes:
        addrInst: the child's number at its parent; None for the admin.
        assigned: the address to listen at; None: any port.
        parent: the address of the creating process.
        admin: the address of the node's admin.
        routed, tx_only: Thespian's "Admin Routing" and "Outbound Only".
        parent_pid: the creating process.
        die_with_parent: ask the kernel to end this process with its creator.
    """

    addrInst: int | None
    assigned: EndpointAddress | None
    parent: Any
    admin: Any
    config: TransportConfig
    routed: bool = False
    tx_only: bool = False
    parent_pid: int = 0
    die_with_parent: bool = False
    logger: bool = False


@dataclass(frozen=True)
class Clone:
    """Init marker: one more transport for a program outside the system."""

    original: Any


def default_config() -> TransportConfig:
    """The configuration of a base that is made without one (by name, in test suites)."""
    from foundation.transport.cookie import load_cookie

    cookie, explicit = load_cookie()
    return TransportConfig(cookie=cookie, explicit_cookie=explicit)


def own_details(init: Endpoint) -> EndpointAddress:
    if init.assigned is not None:
        own = init.assigned
        return type(own)(*own.sockname, own.incarnation)
    host = init.config.host
    if not init.routed:
        return EndpointAddress(host, 0, new_incarnation())
    routing = [None, init.admin] if init.tx_only else [init.admin]
    return RoutedEndpointAddress(host, 0, new_incarnation(), routing)


class EndpointsMixin:
    """The part of the transport that deals in addresses and endpoints.

    Attributes:
        myAddress: our own address.
        _logger_details: where the first logger listened.
    """

    config: TransportConfig
    myAddress: Any
    _adminAddr: Any
    _addressMgr: Any
    _logger_details: EndpointAddress | None

    @staticmethod
    def getAdminAddr(capabilities: dict[str, Any]) -> Any:
        """The admin's address, from the capabilities alone."""
        kind = (
            TXOnlyAdminAddress if capabilities.get("Outbound Only", False) else EndpointAddress
        )
        return ActorAddress(
            kind(
                capabilities.get(HOST_CAPABILITY),
                capabilities.get("Admin Port", DEFAULT_PORT),
                capabilities.get(BOOT_CAPABILITY, 0),
            )
        )

    getAddressFromString = staticmethod(parse_address)

    @staticmethod
    def getConventionAddress(capabilities: dict[str, Any]) -> list[Any] | None:
        """The leaders of the convention, None without one."""
        spec = capabilities.get(CONV_ADDR_IPV4_CAPABILITY)
        if not spec:
            return None
        return [parse_address(each) for each in (spec if isinstance(spec, list) else [spec])]

    @staticmethod
    def probeAdmin(address: Any) -> bool:
        """True when something holds the admin's port."""
        return port_is_taken(*address.addressDetails.sockname)

    def may_dial(self, details: EndpointAddress) -> bool:
        """Only our own admin may be dialled when it is TX-only."""
        return bool(details == self._adminAddr.addressDetails)

    def prepEndpoint(self, local: Any, capabilities: dict[str, Any]) -> Endpoint:
        """In the parent: what the child needs to know."""
        number, assigned = None, None
        details = local.addressDetails
        if isinstance(details, ActorLocalAddress):
            number = details.addressInstanceNum
        else:
            assigned = details
        if number == -1 and self._logger_details is not None:
            assigned = self._logger_details  # a replaced logger keeps its address
        tx_only = bool(capabilities.get("Outbound Only", False))
        return Endpoint(
            addrInst=number,
            assigned=assigned,
            parent=self.myAddress,
            admin=self._adminAddr,
            config=self.config,
            routed=bool(capabilities.get("Admin Routing", False)) or tx_only,
            tx_only=tx_only,
            parent_pid=os.getpid(),
            # The kernel ties PDEATHSIG to the creating thread, not to the process.
            die_with_parent=self.config.die_with_parent
            and threading.current_thread() is threading.main_thread(),
            logger=number == -1,
        )

    def connectEndpoint(self, endpoint: Endpoint) -> None:
        """The child dials us; nothing to do."""

    def external_transport_clone(self) -> Any:
        """An independent transport of the same program."""
        return type(self)(Clone(self))  # type: ignore[call-arg]

    def setAddressManager(self, manager: Any) -> None:
        """Thespian's translation of local addresses."""
        self._addressMgr = manager

    def enableRXPauseFlowControl(self, enable: bool = True) -> None:
        """Flow control is by connection here."""

    def protectedFileNumList(self) -> list[int]:
        """None: the fork hook cleans up."""
        return []

    childResetFileNumList = protectedFileNumList
