"""Where a call comes from, as far as it can be believed."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.types import Scope

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

UNKNOWN = "unknown"
"""Where a call comes from that has no address."""
_LIMIT = 100
_V6_PREFIX = 64  # what one customer is given, and can choose from


def origin(scope: Scope, trusted: Sequence[Network]) -> str:
    """The client's address, of IPv6 its /64: all calls with the same text count as one client's.

    It is the peer's, unless that is a proxy in `trusted`: then the last in X-Forwarded-For that is
    no such proxy, since what stands before it was written by the client.
    """
    peer = scope.get("client")
    if not trusted:
        return UNKNOWN if peer is None else _of_peer(peer[0])
    found = None if peer is None else _parse(peer[0])
    if found is None:
        return UNKNOWN
    if _within(found, trusted):
        for hop in _hops(scope):
            # What cannot be read was not written by our proxies: the one before it is to blame.
            if hop is None:
                break
            found = hop
            if not _within(found, trusted):
                break
    return _named(found)


def _hops(scope: Scope) -> Iterator[Address | None]:
    """Every address in X-Forwarded-For from the last to the first; None for what is none."""
    for name, value in reversed(scope["headers"]):
        if name == b"x-forwarded-for":
            for text in reversed(value.decode("latin-1").split(",")):
                yield _parse(text)


@lru_cache
def _of_peer(text: str) -> str:
    found = _parse(text)
    return UNKNOWN if found is None else _named(found)


@lru_cache
def _named(address: Address) -> str:
    if address.version == 4:
        return str(address)
    return str(ip_network((address, _V6_PREFIX), strict=False))


def _parse(text: str) -> Address | None:
    """The address in such a text, also with a port, brackets or a zone."""
    text = text.strip()
    return _read(text) if len(text) <= _LIMIT else None


@lru_cache
def _read(text: str) -> Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
