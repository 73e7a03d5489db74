"""A shared house, a hand-made worker, a video to upload, and an event loop that must not block."""

import asyncio
import base64
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import httpx
import numpy as np
import pytest
import uvicorn
from blockbuster import blockbuster_ctx
from PIL import Image
from starlette.types import ASGIApp

from squero.api.house import House
from squero.api.http import config
from squero.domain import keys
from squero.domain.yard import Yard

TEXT = {
    "model": "motion-text-to-video",
    "prompt": "a lagoon at dusk",
    "duration": "5s",
    "resolution": "480p",
}


@pytest.fixture
def house(cleared: House) -> House:
    return cleared


@pytest.fixture
def yard(house: House) -> Yard:
    return house.yard


@pytest.fixture
def unblocked() -> Iterator[None]:
    """Fails whatever blocks the event loop from within Squero's own code."""
    with blockbuster_ctx("squero") as guards:
        for guard in guards.functions.values():
            guard.can_block_in("squero/store/statements.py", {"_noun"})  # once, and a file of ours
        yield


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The port of a real server."""
    server = uvicorn.Server(config(app, port=0, lifespan="off", host="127.0.0.1"))
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def serve() -> Callable[[ASGIApp], AbstractAsyncContextManager[int]]:
    """Serves an application: `async with serve(app) as port`."""
    return serving


@pytest.fixture(scope="session")
def film() -> bytes:
    """What TEXT orders, in noise: more than a connection holds that nobody reads."""
    noise = np.random.default_rng(0).integers(16, 235, (480, 848, 3), np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = 848, 480, "yuv420p"
        video.options = {"preset": "ultrafast", "g": "6"}
        sound = container.add_stream("aac", rate=48_000, layout="stereo")
        for _ in range(120):
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, 5 * 48_000, 1_000):
            silence = np.zeros((2, 1_000), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
            frame.pts, frame.sample_rate = start, 48_000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def picture() -> str:
    """A small picture as a data URL."""
    file = io.BytesIO()
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Hand:
    """A worker made by hand: each call of the protocol as it travels."""

    http: httpx.AsyncClient
    token: str
    worker_id: UUID

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return await self.http.request(method, f"/worker/v1{path}", headers=headers, **options)

    async def claim(self, wait_seconds: float = 0) -> httpx.Response:
        return await self.call("POST", "/claim", json={"wait_seconds": wait_seconds})

    async def take(self) -> str:
        """Claims a job that must be there; the path of its attempt."""
        claimed = (await self.claim()).json()
        return f"/jobs/{claimed['queue_id']}/{claimed['attempt']}"

    async def progress(self, job: str, share: float = 0.5) -> httpx.Response:
        return await self.call("POST", f"{job}/progress", json={"progress": share})

    async def upload(self, job: str, content: Any) -> httpx.Response:
        return await self.call("PUT", f"{job}/result", content=content)

    async def fail(self, job: str, kind: str, message: str | None = None) -> httpx.Response:
        return await self.call("POST", f"{job}/failure", json={"kind": kind, "message": message})


@pytest.fixture
def open_hand(yard: Yard, http: httpx.AsyncClient) -> Callable[..., object]:
    """Makes a Hand: `await open_hand(lane="default")`."""

    async def make(lane: str = "default") -> Hand:
        async with yard.database.transaction() as tx:
            worker_id, token = await keys.create_worker(tx, yard.keyring, "hand", lane)
        return Hand(http, token, worker_id)

    return make


@dataclass(frozen=True)
class Customer:
    """A tenant that calls the API."""

    http: httpx.AsyncClient
    account_id: UUID
    headers: dict[str, str]

    async def post(self, call: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(
            f"/api/v1/video/{call}", json=body, headers=self.headers | headers
        )

    async def queue(self, **changes: Any) -> dict[str, str]:
        """A job that must be taken: the body that asks for it again."""
        answer = await self.post("queue", TEXT | changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, str] = answer.json()
        return body

    async def retrieve(self, job: dict[str, str], **headers: str) -> httpx.Response:
        return await self.post("retrieve", job, **headers)


@pytest.fixture
def open_customer(
    open_tenant: Callable[..., Any], http: httpx.AsyncClient
) -> Callable[..., object]:
    """Makes a Customer: `await open_customer(credit_micros=…)`; unmetered without credit."""

    async def make(credit_micros: int | None = None) -> Customer:
        tenant = await open_tenant(credit_micros)
        return Customer(http, tenant.account.id, tenant.headers)

    return make


@pytest.fixture
async def customer(open_customer: Callable[..., Any]) -> Customer:
    made: Customer = await open_customer()
    return made


@pytest.fixture
async def hand(open_hand: Callable[..., Any]) -> Hand:
    made: Hand = await open_hand()
    return made


@pytest.fixture
def finished(customer: Customer, hand: Hand, film: bytes) -> Callable[..., object]:
    """Makes a job of the customer's that is done: `await finished()`."""

    async def make() -> dict[str, str]:
        job = await customer.queue()
        assert (await hand.upload(await hand.take(), film)).status_code == 204
        return job

    return make


def files_below(folder: Path) -> list[Path]:
    """What lies there, day keys aside."""
    found = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return [path for path in found if "keys" not in path.parts]


@pytest.fixture
def stored(yard: Yard) -> Callable[[], list[Path]]:
    """The media at rest."""
    return lambda: files_below(yard.settings.home / "media")
