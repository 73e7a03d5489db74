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
from squero.media.turns import Holder, Turns
from squero.media.urls import Address, Url

ATTEMPTS = 4
"""How many of a host's addresses are tried."""
LOOKUPS_AT_ONCE, LOOKUPS_EACH = 256, 32
"""A lookup cannot be stopped, only left behind, and is its holder's until it ends by itself.

An account has that many when all the names of its calls hang for as long as resolvers let them.
"""


class NoAnswer(Exception):
    """A fetch that came to nothing; it does not say why, so that nobody can ask."""


class Network:
    """The ways out of this machine."""

    def __init__(self) -> None:
        self.tls = httpx.create_ssl_context()
        """Verifies certificates for the name in the URL."""
        self.tls.set_alpn_protocols(["http/1.1"])
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, "lookup")
        self._turns = Turns(LOOKUPS_AT_ONCE, LOOKUPS_EACH)

    async def resolve(self, name: str, holder: Holder = None) -> list[Address]:
        """Every address of the name; raises OSError, and AtCapacity as `Turns.begin`."""
        await self._turns.begin(holder)
        look_up = partial(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        lookup.add_done_callback(lambda _: self._turns.end(holder))
        found = await asyncio.shield(lookup)
        return [ip_address(place[0]) for *_, place in found]

    async def connect(self, address: Address, port: int) -> ByteStream:
        """A TCP connection; raises OSError."""
        return await anyio.connect_tcp(str(address), port)


async def dial(
    network: Network, rules: Rules, url: Url, seconds: float, holder: Holder = None
) -> ByteStream:
    """A connection to a checked address of the URL's host, before TLS; raises NoAnswer.

    It raises when `seconds` are over and not before: a name that is unknown, leads inside or
    does not answer takes as long as any other.
    """
    deadline = anyio.current_time() + seconds
    with anyio.move_on_after(seconds):
        try:
            addresses = await _checked_addresses(network, rules, url, holder)
            return await _connect(network, addresses[:ATTEMPTS], url.port, deadline)
        except (OSError, ValueError, NoAnswer):
            pass
    await anyio.sleep_until(deadline)
    raise NoAnswer


async def _checked_addresses(
    network: Network, rules: Rules, url: Url, holder: Holder
) -> list[Address]:
    """Every address of the host; raises NoAnswer if one of them may not be dialled."""
    if url.address is not None:
        addresses: list[Address] = [url.address]
    else:
        # The dot keeps the resolver from trying the operator's own search domains first.
        name = url.host if rules.vouch_for(url.host) else f"{url.host}."
        addresses = list(dict.fromkeys(await network.resolve(name, holder)))
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
