"""The real process: servers and workers that a test starts, talks to, stops and kills."""

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import httpx
import psycopg
import pytest

from squero.app import open_yard
from squero.domain import accounts, keys
from squero.domain.accounts import Account
from squero.domain.keys import KeyType, Terms
from squero.domain.ledger import Currency
from squero.domain.yard import Yard
from squero.settings import Settings
from squero.store import embedded

PATIENCE_SECONDS = 60.0
ROOT = Path(__file__).parents[2]
LIMITS = {
    "SQUERO_TIERS__PAID__VIDEO_QUEUE": "100000",
    "SQUERO_TIERS__PAID__VIDEO_RETRIEVE": "100000",
    "SQUERO_FAILED_REQUESTS": "100000",
}


def until(what: str, found: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer of `found`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"Not in {seconds:g} s: {what}"
        time.sleep(0.02)
    return answer


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 0)[0])
    finally:
        os.close(handle)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(words[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def probe(video: bytes | Path) -> dict[str, Any]:
    """What a video holds, with every picture of it decoded."""
    data = video if isinstance(video, bytes) else video.read_bytes()
    with av.open(io.BytesIO(data), "r") as container:
        pictures = container.streams.video[0]
        found = {
            "codec": pictures.codec_context.name,
            "size": (pictures.width, pictures.height),
            "fps": pictures.average_rate,
            "seconds": (container.duration or 0) / 1e6,
            "sound": [stream.codec_context.name for stream in container.streams.audio],
            "frames": len(list(container.decode(pictures))),
        }
    return found | {"faststart": 0 < data.find(b"moov") < data.find(b"mdat")}


class Process:
    """A command of Squero's in a session of its own, so that a kill of its group hits it alone."""

    def __init__(self, words: list[str], log: Path, env: dict[str, str], **options: Any) -> None:
        self.log = log
        with log.open("ab") as file:
            self.popen: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "squero", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment() | env,
                start_new_session=True,
                **options,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.popen.stdout is not None
        ready, _, _ = select.select([self.popen.stdout], [], [], PATIENCE_SECONDS)
        assert ready, self.log.read_text()
        return bytes(self.popen.stdout.readline()).decode().strip()

    def said(self, event: str, **words: object) -> list[dict[str, Any]]:
        """The lines of its log about an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]
        wanted = {"event": event} | words
        return [line for line in lines if wanted.items() <= line.items()]

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = 40) -> int:
        """Its exit status after a signal."""
        self.popen.send_signal(how)
        return self.popen.wait(seconds)

    def close(self) -> None:
        """Kill whatever lives of its group."""
        for pid in family(self.pid) if self.popen.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


class Server(Process):
    """`squero serve` on a home, up and with its workers asking for work."""

    def __init__(
        self,
        home: Path,
        *words: str,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.home = home
        self.open = ExitStack()
        port = [] if "--port" in words else ["--port", "0"]
        command = ["serve", *port, "--home", str(home), *words]
        super().__init__(command, home.with_suffix(".log"), LIMITS | (env or {}), **options)
        line = self.line()
        assert line.startswith("Squero is listening on http"), self.log.read_text()
        self.url = line.rpartition(" ")[2]

    def await_ready(self) -> "Server":
        """Wait for its own workers."""

        def ready() -> bool:
            return httpx.get(f"{self.url}/health").status_code == 200

        until("the server is ready", ready)
        return self

    def key(self, *words: str) -> str:
        """A new API key."""
        return squero("keys", "create", *words, "--home", str(self.home)).stdout.strip()

    def worker_token(self, name: str) -> tuple[str, str]:
        """A new worker's id and its token."""
        done = squero("workers", "create", name, "--home", str(self.home))
        return done.stderr.partition("(")[2].partition(")")[0], done.stdout.strip()

    def child(self, word: str) -> int:
        """The process that descends from this one and has this word in its command line."""
        return int(
            until(
                f"a process of {word}",
                lambda: next((pid for pid in family(self.pid) if word in command_line(pid)), None),
            )
        )

    def close(self) -> None:
        """Kill it, and what it started."""
        self.open.close()
        super().close()
        with suppress(embedded.EmbeddedError):  # another user's, who stopped it
            embedded.start(self.home).stop()

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A look into its database."""
        cluster = embedded.start(self.home)
        try:
            with psycopg.connect(cluster.url, autocommit=True) as connection:
                yield connection
        finally:
            cluster.stop()

    @asynccontextmanager
    async def yard(self) -> AsyncIterator[Yard]:
        """What its operator's commands work with, for what would take too many of them."""
        cluster = embedded.start(self.home)
        try:
            async with open_yard(Settings(home=self.home), cluster.url) as yard:
                yield yard
        finally:
            cluster.stop()


class Customer:
    """Somebody with a key, who calls the API as any client of the hosted one does."""

    def __init__(self, server: Server, key: str | None = None) -> None:
        self.key = key or server.key()
        client = httpx.Client(
            base_url=f"{server.url}/api/v1",
            headers={"authorization": f"Bearer {self.key}"},
            timeout=30,
        )
        self.http = server.open.enter_context(client)

    def post(self, call: str, **body: object) -> httpx.Response:
        return self.http.post(f"/video/{call}", json=body)

    def queue(self, prompt: str = "a gondola at dawn", **changes: object) -> dict[str, str]:
        """A small job; what names it."""
        body = {"model": "motion-text-to-video", "duration": "5s", "resolution": "480p"}
        answer = self.post("queue", **body | {"prompt": prompt} | changes)
        assert answer.status_code == 200, answer.text
        job: dict[str, str] = answer.json()
        return {"model": job["model"], "queue_id": job["queue_id"]}

    def settled(self, job: Mapping[str, str]) -> httpx.Response:
        """The first answer to a poll that is not PROCESSING."""

        def over() -> httpx.Response | None:
            answer = self.post("retrieve", **job)
            working = answer.headers["content-type"].startswith("application/json")
            working = working and answer.json().get("status") == "PROCESSING"
            return None if working else answer

        answer: httpx.Response = until("the job is over", over)
        return answer

    def video(self, job: Mapping[str, str]) -> bytes:
        """The job's video."""
        answer = self.settled(job)
        assert answer.headers["content-type"] == "video/mp4", answer.text
        return answer.content


async def open_account(
    server: Server,
    micros: Mapping[Currency, int] | None = None,
    kind: KeyType = "INFERENCE",
    terms: Terms | None = None,
) -> tuple[Account, str]:
    """A new account with so much of each currency, unmetered without any, and a key of it."""
    async with server.yard() as yard, yard.database.transaction() as tx:
        account, _ = await accounts.find_or_open(tx, None, "prepaid" if micros else "unmetered")
        for currency, amount in (micros or {}).items():
            if currency == "DIEM":
                await accounts.set_diem(tx, account, amount)
            else:
                await accounts.top_up(tx, account, amount, currency)
        _, key = await keys.create(tx, yard.keyring, account.id, kind, "", terms or Terms())
    return account, key


def environment() -> dict[str, str]:
    """This process's own without any setting of Squero's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SQUERO_")}
    return own | {"PYTHONPATH": str(ROOT)}


def squero(*words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "squero", *words],
        env=environment() | env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=check,
    )


def assert_books(home: Path, earned: str) -> None:
    """The books add up, nothing is held, and this much was earned."""
    done = squero("ledger", "check", "--home", str(home), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" {earned} USD earned, 0 USD held." in done.stdout
    assert "The books are in order." in done.stdout


Start = Callable[..., Any]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Server, a Worker… that is killed with all its own when the test is over."""
    with ExitStack() as started:

        def enter(kind: Callable[..., Process], *words: Any, **options: Any) -> Process:
            process = kind(*words, **options)
            started.callback(process.close)
            return process

        yield enter


def worker(server: Server, token: str, folder: Path, name: str = "remote") -> Process:
    """`squero worker` for this server."""
    file = folder / f"{name}.token"
    file.write_text(token)
    file.chmod(0o600)
    words = ["worker", "--server", server.url, "--token-file", str(file)]
    return Process(words, folder / f"{name}.log", {})
