"""Dialling a host that a customer named: looked up once, checked, and nothing else is dialled.

Only this module opens a socket for a URL, and it opens it to an address, never to a name; there
is no second lookup that could answer differently.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

import anyio
import httpx
from anyio.abc import ByteStream

from squero.media.addresses import Rules, own_addresses
from squero.media.urls import Address, Url

ATTEMPTS = 4
"""How many of a host's addresses are tried."""
LOOKUP_THREADS = 8
"""A lookup cannot be stopped, only left behind: more that hang than this make the rest wait."""


class NoAnswer(Exception):
    """A fetch that came to nothing; it does not say why, so that nobody can ask."""


class Network:
    """The ways out of this machine."""

    def __init__(self) -> None:
        self.tls = httpx.create_ssl_context()
        """Verifies certificates for the name in the URL."""
        self.tls.set_alpn_protocols(["http/1.1"])
        self._lookups = ThreadPoolExecutor(LOOKUP_THREADS, "lookup")

    async def resolve(self, name: str) -> list[Address]:
        """Every address of the name; raises OSError."""
        look_up = partial(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
        return [ip_address(place[0]) for *_, place in found]

    async def connect(self, address: Address, port: int) -> ByteStream:
        """A TCP connection; raises OSError."""
        return await anyio.connect_tcp(str(address), port)


async def dial(network: Network, rules: Rules, url: Url, seconds: float) -> ByteStream:
    """A connection to a checked address of the URL's host, before TLS; raises NoAnswer.

    It raises when `seconds` are over and not before: a name that is unknown, leads inside or
    does not answer takes as long as any other.
    """
    deadline = anyio.current_time() + seconds
    with anyio.move_on_after(seconds):
        try:
            addresses = await _checked_addresses(network, rules, url)
            return await _connect(network, addresses[:ATTEMPTS], url.port, deadline)
        except (OSError, ValueError, NoAnswer):
            pass
    await anyio.sleep_until(deadline)
    raise NoAnswer


async def _checked_addresses(network: Network, rules: Rules, url: Url) -> list[Address]:
    """Every address of the host; raises NoAnswer if one of them may not be dialled."""
    if url.address is not None:
        addresses: list[Address] = [url.address]
    else:
        # The dot keeps the resolver from trying the operator's own search domains first.
        name = url.host if rules.vouch_for(url.host) else f"{url.host}."
        addresses = list(dict.fromkeys(await network.resolve(name)))
    own = own_addresses()
    if not all(rules.permit(url.host, address, own) for address in addresses):
        raise NoAnswer
    return addresses


async def _connect(
    network: Network, addresses: list[Address], port: int, deadline: float
) -> ByteStream:
    for number, address in enumerate(addresses):
        share = (deadline - anyio.current_time()) / (len(addresses) - number)
        with anyio.move_on_after(share):
            try:
                return await network.connect(address, port)
            except OSError:
                continue
    raise NoAnswer
