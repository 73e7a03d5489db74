"""What it costs to buy from an upstream through Squero, over calling the upstream oneself.

One client, which polls and downloads, is given either address: Squero speaks what its upstream
does. Both buy at the same time, so that the machine's other work meets both.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import getloadavg, sched_getaffinity
from pathlib import Path
from statistics import median
from typing import Any

import av
import httpx
import numpy as np

from benchmarks.report import Report
from benchmarks.server import Server, squero, upstream
from benchmarks.stage import Stage, made_yard, make_tenant

SHARE, MORE_MS = 0.01, 300
"""The most that Squero may add: a part of the upstream's time, and milliseconds."""
BUSY = 1.5
"""Processes for each core, beyond which waiting for a core is most of what is measured."""
POLL_SECONDS = 0.05
ROUNDS = {2.0: 10, 30.0: 2}
TINY_ROUNDS = {0.2: 1, 0.4: 1}
ENTRY = """
id = "{name}"
name = "{name}"
description = "Rendered by a stub."
created = 1
engine = "{engine}"
usd_per_second = {{ 480p = "0.01" }}
render_seconds_per_second = {{ 480p = 1.0 }}
[[options.upstreams]]
name = "stub"
url = "{url}"
model = "{model}"
[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["480p"]
aspect_ratios = []
audio = false
audio_configurable = false
"""


@dataclass(frozen=True, slots=True)
class Buyer:
    """A client of one server, and what its model is called there."""

    http: httpx.AsyncClient
    model: str

    async def post(self, path: str, **fields: object) -> httpx.Response:
        """A call that must succeed."""
        return (await self.http.post(path, json=fields)).raise_for_status()


async def run(stage: Stage) -> Report:
    """Seconds from the order to the video's last byte, directly and through Squero."""
    report = Report(
        "remote: a video of an upstream, directly and through Squero",
        ("upstream", "takes s", "direct s", "Squero s", "more ms", "worst", "of limit", "CPU ms"),
    )
    rounds = TINY_ROUNDS if stage.tiny else ROUNDS
    film = _film(stage.folder / "film.mp4")
    async with made_yard(stage, "remote") as yard, upstream(film, rounds) as stub:
        tenant, home = await make_tenant(yard), yard.settings.home
        _write(home / "models", stub, rounds)
        async with squero(stage, yard.database.url, home, workers=1) as ours:
            for engine, buy in DIALECTS.items():
                for seconds, times in rounds.items():
                    names = f"wan-{seconds:g}", f"{engine}-{seconds:g}"
                    async with _buyers(stub, ours, tenant.key, *names) as buyers:
                        measured = await _measure(ours, buy, buyers, times)
                        _judge(report, engine, seconds, measured)
    return report


@dataclass(frozen=True, slots=True)
class Measured:
    """The same purchases, both ways."""

    direct: list[float]
    through: list[float]
    cpu_ms: float
    """Squero's for one, with worker and engine, without the database."""


async def _measure(ours: Server, buy: "Buy", buyers: list[Buyer], times: int) -> Measured:
    # The first loads the engine, and opens connections.
    await asyncio.gather(*(_timed(buy, buyer) for buyer in buyers))
    before = ours.cpu_seconds()
    pairs = [await asyncio.gather(*(_timed(buy, buyer) for buyer in buyers)) for _ in range(times)]
    cpu_ms = 1000 * (ours.cpu_seconds() - before) / times
    direct, through = map(list, zip(*pairs, strict=True))
    return Measured(direct, through, cpu_ms)


def _judge(report: Report, engine: str, seconds: float, measured: Measured) -> None:
    direct, through = median(measured.direct), median(measured.through)
    more = [1000 * (b - a) for a, b in zip(measured.direct, measured.through, strict=True)]
    more_ms, limit_ms = max(0.0, median(more)), 1000 * SHARE * direct + MORE_MS
    row = (engine, seconds, direct, through, more_ms, max(0.0, *more))
    report.add(*row, more_ms / limit_ms, measured.cpu_ms)
    goal = f"{engine}, {seconds:g} s: at most 1 % and {MORE_MS} ms more: {more_ms:.0f} ms"
    if more_ms <= limit_ms:
        report.judge(goal, passed=True)
    elif getloadavg()[0] > BUSY * len(sched_getaffinity(0)):
        report.judge(f"{goal}, on a machine that was busy with others", passed=None)
    else:
        report.judge(goal, passed=False)


async def _timed(buy: "Buy", buyer: Buyer) -> float:
    began = time.monotonic()
    await buy(buyer)
    return time.monotonic() - began


async def _buy_openai(buyer: Buyer) -> bytes:
    """POST /v1/videos, and GET it until it is completed."""
    order = {"model": buyer.model, "prompt": "a gondola", "size": "848x480", "seconds": "5"}
    path = f"/v1/videos/{(await buyer.post('/v1/videos', **order)).json()['id']}"
    while (found := (await buyer.http.get(path)).raise_for_status().json())["status"] in WORKING:
        await asyncio.sleep(POLL_SECONDS)
    assert found["status"] == "completed", found
    return (await buyer.http.get(f"{path}/content")).raise_for_status().content


async def _buy_venice(buyer: Buyer) -> bytes:
    """Queue, and retrieve until there is a video."""
    order = {"prompt": "a gondola", "duration": "5s", "resolution": "480p"}
    queued = await buyer.post("/api/v1/video/queue", model=buyer.model, **order)
    job: Mapping[str, Any] = queued.json()
    while True:
        named = {"model": buyer.model, "queue_id": job["queue_id"]}
        answer = await buyer.post("/api/v1/video/retrieve", **named)
        if answer.headers["content-type"].startswith("video/"):
            return answer.content
        await asyncio.sleep(POLL_SECONDS)


Buy = Callable[[Buyer], Awaitable[bytes]]
WORKING = ("queued", "in_progress")
DIALECTS: Mapping[str, Buy] = {"openai-videos": _buy_openai, "venice": _buy_venice}


@asynccontextmanager
async def _buyers(
    stub: Server, ours: Server, key: str, theirs: str, name: str
) -> AsyncIterator[list[Buyer]]:
    """One at the upstream, and one at Squero."""
    options: dict[str, Any] = {"trust_env": False, "timeout": 60}
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{stub.port}", **options) as direct,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ours.port}", headers=headers, **options
        ) as through,
    ):
        yield [Buyer(direct, theirs), Buyer(through, name)]


def _write(folder: Path, stub: Server, rounds: Mapping[float, int]) -> None:
    """An entry of Squero's for each engine and pace."""
    folder.mkdir(parents=True, exist_ok=True)
    for engine in DIALECTS:
        for seconds in rounds:
            name, model = f"{engine}-{seconds:g}", f"wan-{seconds:g}"
            url = f"http://127.0.0.1:{stub.port}"
            entry = ENTRY.format(name=name, engine=engine, url=url, model=model)
            (folder / f"{name}.toml").write_text(entry)


def _film(path: Path) -> Path:
    """Five seconds at 480p, as they are ordered."""
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = 848, 480, "yuv420p"
        for number in range(120):
            picture = np.full((480, 848, 3), number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path
