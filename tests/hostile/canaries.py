"""A network namespace in which every address is this machine's, with listeners that keep count.

Run as `unshare --user --map-root-user --net python -m tests.hostile.canaries PROGRAM`: sets the
network up, and then runs the program's `main(net)` in it; what that gives is printed as JSON.
A connection to anywhere ends at a listener here, which keeps the address that was dialled.
"""

import asyncio
import importlib
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import cast

PORTS = (80, 443, 22, 8080)
BODY = b"canary"
PUBLIC = "93.184.215.14"
A, AAAA = 1, 28

Answer = Callable[[str, int], list[str]]
"""What a name leads to: asked with the name and the kind of record."""


class Net:
    """The namespace: what was dialled in it, and what its names lead to."""

    def __init__(self, answer: Answer) -> None:
        self.dialled: list[str] = []
        self.asked = 0
        self.location: Callable[[], str | None] = lambda: None
        """Where the next answer of a listener leads; None for a 200."""
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to a canary."""
        host, port = writer.get_extra_info("sockname")[:2]
        self.dialled.append(f"{host} {port}")
        try:
            await reader.readuntil(b"\r\n\r\n")
            place = self.location()
            status = f"302 Found\r\nLocation: {place}" if place else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + BODY)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def resolve(self, question: bytes) -> bytes:
        """The answer to a DNS question, good for no second."""
        self.asked += 1
        labels, place = [], 12
        while size := question[place]:
            labels.append(question[place + 1 : place + 1 + size].decode("ascii", "replace"))
            place += 1 + size
        kind = struct.unpack("!H", question[place + 1 : place + 3])[0]
        found = [ip_address(one) for one in self._answer(".".join(labels), kind)]
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(one.packed)) + one.packed
            for one in found
            if kind == (A if one.version == 4 else AAAA)
        ]
        head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        return head + question[12 : place + 5] + b"".join(records)


class _Names(asyncio.DatagramProtocol):
    def __init__(self, net: Net) -> None:
        self._net = net

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._net.resolve(data), addr)


def name_servers() -> list[str]:
    """Whom this machine's resolver asks."""
    text = Path("/etc/resolv.conf").read_text()
    lines = [line.split() for line in text.splitlines()]
    found = [line[1].partition("%")[0] for line in lines if line[:1] == ["nameserver"]]
    return found or ["127.0.0.1"]


def claim_every_address() -> None:
    """Whatever is dialled is this machine."""
    for words in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *words.split()], check=True)


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[Net]:
    """The Net, with its listeners up and its names answered."""
    claim_every_address()
    net = Net(answer)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in PORTS:
                server = await asyncio.start_server(net.serve, host, port, family=family)
                stack.callback(server.close)
        for place in name_servers():
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Names(net), local_addr=(place, 53)
            )
            stack.callback(transport.close)
        yield net


if __name__ == "__main__":
    program = importlib.import_module(sys.argv[1])
    print(json.dumps(asyncio.run(program.main(*sys.argv[2:]))))
