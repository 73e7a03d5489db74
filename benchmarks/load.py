"""A load of HTTP requests on one core, much cheaper than the server that answers them.

Run as a process of its own (`python -m benchmarks.load`), which is told what to do on standard
input and answers on standard output; `apply` starts one and waits for it. It knows only what our
answers need: a status line, Content-Length, keep-alive.
"""

import asyncio
import base64
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_BUFFER_BYTES = 1 << 18
_SILENCE_SECONDS = 60.0
_FULL = 0.95


@dataclass(frozen=True, slots=True)
class Load:
    """So many connections, each sending one request after another; `total` 0 means no end."""

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    total: int = 0
    core: int | None = None
    pause_seconds: float = 0.0
    """Between an answer and the next request of a connection."""


@dataclass(frozen=True, slots=True)
class Met:
    """What a load met with; times in seconds."""

    answers: int
    seconds: float
    statuses: dict[str, int]
    body_bytes: int
    first_byte: float
    """The median wait for an answer's first byte."""
    late_first_byte: float
    """Its p99."""
    middle: float
    high: float
    """The p99 of whole answers."""
    longest: float
    busy: float
    """The share of its core that the load itself took: near 1, it is the load that bounds."""

    @property
    def bounds(self) -> bool:
        """Whether the load could not have met with more."""
        return self.busy >= _FULL

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    @property
    def megabytes_per_second(self) -> float:
        """Of bodies, in millions of bytes."""
        return self.body_bytes / self.seconds / 1e6

    def expect(self, status: int) -> "Met":
        """Itself; raises RuntimeError when any answer had another status."""
        if set(self.statuses) != {str(status)}:
            raise RuntimeError(f"The server answered {self.statuses}, not {status} alone")
        return self


def request(
    path: str, body: object = None, *, key: str = "", method: str = "POST", since: int = 0
) -> bytes:
    """The bytes of a request with a JSON body, or with these very bytes as its JSON.

    `since` asks for a Range from this byte to the end.
    """
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(data)}"]
    lines += ["content-type: application/json"] if data else []
    lines += [f"authorization: Bearer {key}"] if key else []
    lines += [f"range: bytes={since}-"] if since else []
    return "\r\n".join([*lines, "", ""]).encode() + data


class Applied:
    """A load under way in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def stop(self) -> None:
        """Let it end after the answers that it waits for."""
        self._process.send_signal(signal.SIGTERM)

    async def met(self) -> Met:
        """What it met with, once it has ended; raises RuntimeError when it broke off."""
        answer, _ = await self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("The load broke off")
        return Met(**json.loads(answer))


async def begin(load: Load) -> Applied:
    """The load, once its process is under way."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    texts = [base64.b64encode(one).decode() for one in load.requests]
    process.stdin.write(json.dumps(asdict(load) | {"requests": texts}).encode())
    process.stdin.write_eof()
    await process.stdout.readline()
    return Applied(process)


async def apply(load: Load) -> Met:
    """The load from beginning to end; raises RuntimeError when it broke off."""
    return await (await begin(load)).met()


class _Line:
    """One connection: sends, and reads answers by their Content-Length."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent = memoryview(b"")
        self.resumes = 0.0
        self.status = ""
        self._head = b""
        self._left = -1

    def begin(self, data: bytes) -> bool:
        """Start a request; whether all of it went out at once."""
        self.began, self.first, self._head, self._left = time.perf_counter(), 0.0, b"", -1
        self.body_bytes = 0
        self.unsent = memoryview(data)
        return self.push()

    def push(self) -> bool:
        """Send what is unsent; whether that was all of it."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return False
        return True

    def pull(self, buffer: memoryview) -> bool:
        """Read what has come; whether the answer is whole. Raises ConnectionError at its end."""
        try:
            size = self.socket.recv_into(buffer)
        except BlockingIOError:
            return False
        if not size:
            raise ConnectionError("The server closed the connection")
        if self._left < 0:
            return self._start(bytes(buffer[:size]))
        self._left -= size
        return self._left == 0

    def _start(self, data: bytes) -> bool:
        self.first = self.first or time.perf_counter()
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.status = self._head[9:12].decode()
        self.body_bytes = _content_length(self._head[:end])
        self._left = self.body_bytes - (len(self._head) - end - 4)
        return self._left == 0


class _Run:
    """A load in progress."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._paused: list[_Line] = []
        self._sent = 0
        self._until = math.inf
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.times: list[float] = []
        self.firsts: list[float] = []
        self.statuses: dict[str, int] = {}
        self.body_bytes = 0

    def go(self) -> float:
        """Apply the load; gives the seconds from the first request to the last answer."""
        for _ in range(self._load.connections):
            line = _Line(self._load.port)
            self._lines[line.socket.fileno()] = line
            self._poll.register(line.socket.fileno(), 0)
        began = time.perf_counter()
        self._until = min(self._until, began + self._load.seconds)
        for line in self._lines.values():
            self._begin(line)
        while self._lines:
            self._turn()
        return time.perf_counter() - began

    def stop(self) -> None:
        """Begin nothing more."""
        self._until = 0

    def _turn(self) -> None:
        silence = 0.001 if self._paused else _SILENCE_SECONDS
        events = self._poll.poll(silence)
        if not events and not self._paused:
            raise TimeoutError("The server has fallen silent")
        for number, event in events:
            line = self._lines[number]
            if event & select.EPOLLOUT and line.push():
                self._poll.modify(number, select.EPOLLIN)
            if event & ~select.EPOLLOUT and line.pull(self._buffer):
                self._end(line)
        self._resume()

    def _begin(self, line: _Line) -> None:
        load = self._load
        if time.perf_counter() >= self._until or (load.total and self._sent >= load.total):
            number = line.socket.fileno()
            self._poll.unregister(number)
            del self._lines[number]
            line.socket.close()
            return
        whole = line.begin(load.requests[self._sent % len(load.requests)])
        self._sent += 1
        self._poll.modify(line.socket, select.EPOLLIN | (0 if whole else select.EPOLLOUT))

    def _end(self, line: _Line) -> None:
        now = time.perf_counter()
        self.times.append(now - line.began)
        self.firsts.append(line.first - line.began)
        self.statuses[line.status] = self.statuses.get(line.status, 0) + 1
        self.body_bytes += line.body_bytes
        if self._load.pause_seconds:
            line.resumes = now + self._load.pause_seconds
            self._paused.append(line)
        else:
            self._begin(line)

    def _resume(self) -> None:
        now = time.perf_counter()
        due = [line for line in self._paused if line.resumes <= now]
        self._paused = [line for line in self._paused if line.resumes > now]
        for line in due:
            self._begin(line)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


def _at(share: float, ranked: Sequence[float]) -> float:
    """The nearest-rank percentile."""
    return ranked[math.ceil(share * len(ranked)) - 1]


def main() -> None:
    """Apply the load that standard input tells of, and print what it met with."""
    told = json.load(sys.stdin)
    load = Load(**(told | {"requests": [base64.b64decode(text) for text in told["requests"]]}))
    if load.core is not None:
        os.sched_setaffinity(0, {load.core})
    run = _Run(load)
    signal.signal(signal.SIGTERM, lambda *_: run.stop())
    print("begun", flush=True)
    busy = time.process_time()
    seconds = run.go()
    busy = time.process_time() - busy
    times, firsts = sorted(run.times), sorted(run.firsts)
    met = Met(
        answers=len(times),
        seconds=seconds,
        statuses=run.statuses,
        body_bytes=run.body_bytes,
        first_byte=_at(0.5, firsts),
        late_first_byte=_at(0.99, firsts),
        middle=_at(0.5, times),
        high=_at(0.99, times),
        longest=times[-1],
        busy=busy / seconds,
    )
    print(json.dumps(asdict(met)))


if __name__ == "__main__":
    main()
