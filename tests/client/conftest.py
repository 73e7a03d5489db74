"""A clock that only sleeping moves, scripted answers, and a real server that can break off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from squero.client import Backoff


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Clock:
    """Time in seconds; `slept` is every sleep that was asked for."""

    time: float = 1_700_000_000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def backoff(self, jitter: float = 1.0, tries: int = 6, total_seconds: float = 60) -> Backoff:
        return Backoff(
            tries=tries,
            total_seconds=total_seconds,
            first_seconds=1,
            cap_seconds=5,
            sleep=self.sleep,
            random=lambda: jitter,
            monotonic=lambda: self.time,
            now=lambda: self.time,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


Step = httpx.Response | Exception


class Script(httpx.MockTransport):
    """Gives the steps one after another, the last for ever; keeps the requests."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []
        super().__init__(self._next)

    def _next(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return httpx.Response(
            step.status_code, headers=step.headers, stream=httpx.ByteStream(step.content)
        )


@pytest.fixture
def script() -> type[Script]:
    return Script


@dataclass
class Heard:
    """One request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Say:
    """What the server answers; `body_part` shorter than the promised length breaks off."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    break_after: int | None = None


@dataclass
class Server:
    """A server on 127.0.0.1 that answers whatever `answer` makes of what it heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answer: Callable[[Heard], Say] = lambda heard: Say()


@pytest.fixture
def server() -> Iterator[Server]:
    stub = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            names = {name.lower(): value for name, value in self.headers.items()}
            heard = Heard(self.command, self.path, names, body)
            stub.heard.append(heard)
            say = stub.answer(heard)
            self.send_response(say.status)
            for name, value in say.headers.items():
                self.send_header(name, value)
            if "transfer-encoding" not in say.headers:
                self.send_header("content-length", str(len(say.body)))
            self.end_headers()
            self.wfile.write(say.body[: say.break_after])
            self.close_connection = say.break_after is not None

        do_GET = do_POST = do_PUT = _handle  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield stub
    listener.shutdown()
    thread.join()
    listener.server_close()
