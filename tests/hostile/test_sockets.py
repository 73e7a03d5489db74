"""The corpus of raw requests, against the real server."""

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.conftest import Server

from .conftest import SOAK, Say
from .corpus import corpus

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(0)]

PATIENCE_SECONDS = 15
QUIET_SECONDS = 0.2


def exchange(place: tuple[str, int], data: bytes, step: int, *, leave: bool) -> bytes:
    """All that the server answers to these bytes, sent in pieces; `leave` ends them at once."""
    received = b""
    with socket.create_connection(place, PATIENCE_SECONDS) as peer, suppress(ConnectionError):
        try:
            for start in range(0, len(data), step):
                peer.sendall(data[start : start + step])
        except ConnectionError:
            pass  # it refuses before all is sent: what it said is still to be read
        if not leave:
            received = heard(peer)
        with suppress(ConnectionError):
            peer.shutdown(socket.SHUT_WR)
        peer.settimeout(PATIENCE_SECONDS)
        while piece := peer.recv(65536):
            received += piece
    return received


def heard(peer: socket.socket) -> bytes:
    """What the server says until it has no more to say: it may keep the connection."""
    received = b""
    with suppress(TimeoutError, ConnectionError):
        while piece := peer.recv(65536):
            received += piece
            peer.settimeout(QUIET_SECONDS)
    return received


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers in there."""
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return [int(line.split(b" ")[1]) for line in lines]


def test_corpus(server: Server, say: Say) -> None:
    url = urlsplit(server.url)
    place = (str(url.hostname), int(url.port or 0))
    cases = list(corpus())
    wrong = []
    for number in range(SOAK):
        step = 1 << 16 if number == 0 else 1 + number * 977
        for name, data, right in cases:
            answer = exchange(place, data, step, leave=not right)
            got = statuses(answer)
            if (got or [0])[0] not in (right or {0}):
                wrong.append(f"{name}: {got} and not {sorted(right)}")
            if any(status >= 500 and status not in right for status in got):
                wrong.append(f"{name}: {got}")
            if b"Traceback" in answer or b"squero/" in answer or len(answer) > 200_000:
                wrong.append(f"{name}: {answer[:200]!r}")
            # A second answer means that one request was read as two.
            if len(got) > 1 and "behind" not in name:
                wrong.append(f"{name}: smuggled {got}")
            health = httpx.get(f"{server.url}/health")
            assert health.status_code == 200, name
    say(f"{len(cases)} requests, {len(wrong)} answered otherwise")
    assert not wrong, "\n".join(wrong)
