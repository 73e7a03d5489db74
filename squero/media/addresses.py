"""The addresses that a customer's URL may lead to.

The table of special addresses is ssrfguard's; only this module knows that. `ipaddress.is_global`
would not do: it answers another question, and differently from one Python to the next.
"""

from collections.abc import Set
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

import psutil
from ssrfguard import DEFAULT_DENIED

from squero.media.urls import Address, is_host

PORTS = frozenset({80, 443})
DEV_HOST = "localhost"

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
_INTERNAL = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")


def is_public(address: Address) -> bool:
    """Whether the address is an ordinary one of the open internet.

    Anything that a registry sets apart is not, and no address that carries another one inside
    (mapped, NAT64, 6to4, Teredo) is, whatever it carries.
    """
    if isinstance(address, IPv6Address) and (
        address.scope_id is not None or address not in _GLOBAL_UNICAST
    ):
        return False
    return address not in _METADATA and DEFAULT_DENIED.match(address) is None


def is_internal(address: Address) -> bool:
    """Whether an operator may keep a host of their own there: private, carrier and loopback."""
    return address not in _METADATA and any(address in network for network in _INTERNAL)


def own_addresses() -> frozenset[Address]:
    """The addresses of this machine's interfaces, as they are now."""
    families = ("AF_INET", "AF_INET6")
    return frozenset(
        ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family.name in families
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows beyond the open internet."""

    allowed_hosts: frozenset[str] = frozenset()
    """Names, in lower case, that may lead to internal addresses too (never to metadata)."""
    dev: bool = False
    """Whether `localhost` may be fetched from, on any port."""

    def __post_init__(self) -> None:
        for host in self.allowed_hosts:
            if not is_host(host):
                raise ValueError(f"{host!r} is not the name of a host in lower case")

    def vouch_for(self, host: str) -> bool:
        """Whether the operator named this host."""
        return host in self.allowed_hosts or (self.dev and host == DEV_HOST)

    def permit_port(self, host: str, port: int) -> bool:
        """Whether a URL with this host may name this port."""
        return port in PORTS or (self.dev and host == DEV_HOST)

    def permit(self, host: str, address: Address, own: Set[Address]) -> bool:
        """Whether this host may be at this address; `own` are this machine's addresses."""
        if self.dev and host == DEV_HOST:
            return address.is_loopback
        if host in self.allowed_hosts:
            return is_internal(address) or is_public(address)
        return is_public(address) and address not in own
