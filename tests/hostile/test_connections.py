"""Thousands that connect and dawdle, and uploads that are far too large, while others work."""

import asyncio
import base64
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import Customer, Server

from .conftest import MIB, SOAK, Caller, Say, own_stall_seconds, resident_bytes, witness

pytestmark = [pytest.mark.anyio, pytest.mark.hostile, pytest.mark.timeout(0)]

SILENT = SLOW_HEADER = 2000
SLOW_BODY = 200
HOLD_SECONDS = 9.0
CLOSED_SECONDS = 45.0
UPLOADS = 20
PICTURE_BYTES = 50_000_000
PIECE_BYTES = 1 << 20
STALL_SECONDS = 0.2
ROUNDS = 3
MOST_ROUNDS = 9
MOST_KEPT_MIB = 64
"""What the server may have grown by in all rounds after the first ones: for the long form."""

HEAD = b"POST /api/v1/video/queue HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class Dawdler:
    """One connection that sends a byte of its request a second, or nothing."""

    def __init__(self, place: tuple[str, int], first: bytes, then: bytes) -> None:
        self._place = place
        self._first = first
        self._then = then
        self.connected = asyncio.Event()
        self.closed_seconds: float | None = None

    async def run(self) -> None:
        """Dawdle until the server has had enough."""
        reader, writer = await asyncio.open_connection(*self._place)
        began = time.monotonic()
        self.connected.set()
        writer.write(self._first)
        gone = asyncio.ensure_future(reader.read())
        try:
            while not gone.done():
                await asyncio.wait({gone}, timeout=1)
                writer.write(self._then)
        except OSError:
            pass
        finally:
            gone.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await gone
            self.closed_seconds = time.monotonic() - began
            writer.close()


def crowd(server: Server, key: str) -> list[Dawdler]:
    """Everybody who dawdles at once."""
    url = urlsplit(server.url)
    place = (str(url.hostname), int(url.port or 0))
    allowed = HEAD + f"Authorization: Bearer {key}\r\n".encode()
    body = allowed + b'Content-Length: 1000000\r\n\r\n{"prompt":"'
    return [
        *(Dawdler(place, b"", b"") for _ in range(SILENT)),
        *(Dawdler(place, HEAD + b"x-slow: ", b"a") for _ in range(SLOW_HEADER)),
        *(Dawdler(place, body, b"a") for _ in range(SLOW_BODY)),
    ]


async def test_dawdlers_cost_others_nothing(server: Server, descriptors: int, say: Say) -> None:
    assert descriptors >= 3 * (SILENT + SLOW_HEADER + SLOW_BODY) // 2, "too few open files: ulimit"
    key = server.key()
    for _ in range(SOAK):
        dawdlers = crowd(server, key)
        with witness(server) as seen:
            tasks = [asyncio.create_task(one.run()) for one in dawdlers]
            await asyncio.gather(*(one.connected.wait() for one in dawdlers))
            await asyncio.sleep(HOLD_SECONDS)
        _, still = await asyncio.wait(tasks, timeout=CLOSED_SECONDS)
        for task in still:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        kinds = (dawdlers[0], dawdlers[SILENT], dawdlers[-1])
        closed = ", ".join(f"{one.closed_seconds:.1f} s" for one in kinds)
        say(f"{seen}; closed after {closed} (silent, header, body), {len(still)} never")
        assert seen.p99_seconds < 1
        assert seen.grown_mib < 64
        assert not still, f"{len(still)} still open after {CLOSED_SECONDS + HOLD_SECONDS:g} s"


def image_body() -> Iterator[bytes]:
    """A queue call with 50 MB that claim to be a picture."""
    yield (
        b'{"model":"motion-image-to-video","prompt":"p","duration":"5s",'
        b'"image_url":"data:image/png;base64,'
    )
    left = PICTURE_BYTES
    piece = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(3 * PIECE_BYTES // 4))
    piece = piece[: len(piece) // 4 * 4 - 4]
    while left > 0:
        yield piece
        left -= len(piece) // 4 * 3
    yield b'"}'


def upload(server: Server, key: str, statuses: list[int]) -> None:
    """Sends it over a socket as fast as that takes it; keeps the answer's status, 0 for none."""
    url = urlsplit(server.url)
    pieces = list(image_body())
    head = (
        HEAD
        + (
            f"Authorization: Bearer {key}\r\nConnection: close\r\n"
            f"Content-Length: {sum(map(len, pieces))}\r\n\r\n"
        ).encode()
    )
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=120) as peer:
        answer = b""
        with suppress(OSError):  # what is refused early is not read to its end
            for piece in (head, *pieces):
                peer.sendall(piece)
        with suppress(OSError):
            while received := peer.recv(65536):
                answer += received
    statuses.append(int(answer.split(b" ", 2)[1]) if answer else 0)


def uploads_at_once(server: Server, bystander: str, key: str, say: Say) -> float | None:
    """The longest that the server made anybody else wait, in seconds.

    None when whoever called an idle process waited as well: whose fault it was cannot be told.
    """
    statuses: list[int] = []
    senders = [
        threading.Thread(target=upload, args=(server, key, statuses)) for _ in range(UPLOADS)
    ]
    idle = Caller(bystander)
    with witness(server) as seen:
        idle.start()
        began = time.monotonic()
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        took = time.monotonic() - began
    idle.finish()
    stall_seconds = own_stall_seconds(seen.calls, idle.calls)
    say(
        f"{took:.1f} s for {UPLOADS} uploads, answers {set(statuses)}; {seen}; its own stalls "
        f"{stall_seconds * 1e3:.0f} ms, an idle process {idle.longest_seconds * 1e3:.0f} ms"
    )
    assert statuses == [400] * UPLOADS
    assert seen.grown_mib < 150e6 / MIB
    busy = idle.longest_seconds > STALL_SECONDS / 2
    return None if busy and seen.longest_seconds >= STALL_SECONDS else stall_seconds


def test_large_uploads_cost_others_little(server: Server, bystander: str, say: Say) -> None:
    """In two rounds of three: a stall of the server's making is there every time."""
    key, after_first = Customer(server).key, 0
    for _ in range(SOAK):
        stalls: list[float] = []
        for _ in range(MOST_ROUNDS):
            if (stall := uploads_at_once(server, bystander, key, say)) is not None:
                stalls.append(stall)
            if len(stalls) == ROUNDS:
                break
        else:
            pytest.fail("An idle process was made to wait as well: the machine is too busy to tell")
        assert statistics.median(stalls) < STALL_SECONDS
        after_first = after_first or resident_bytes(server)
    kept_mib = (resident_bytes(server) - after_first) / MIB
    assert kept_mib < MOST_KEPT_MIB, f"{kept_mib:.0f} MiB more than after the first rounds"
