"""The video calls over HTTP: the server on one core, its load on another, PostgreSQL on any."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from benchmarks.load import Load, Met, apply, request
from benchmarks.report import Report
from benchmarks.server import Server, empty, squero
from benchmarks.stage import Stage, Tenant, cores, made_yard, make_tenant
from squero.domain import generation
from squero.domain.catalog import VideoRequest

CONNECTIONS = 32
ACCOUNTS = 16
PICTURE_BYTES = 200_000
TEXT_MODEL, IMAGE_MODEL = "motion-text-to-video", "motion-image-to-video"
QUOTE = {"model": TEXT_MODEL, "duration": "5s", "resolution": "720p", "aspect_ratio": "16:9"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a later version is to reach; not yet a verdict."""

    name: str
    rate: int


async def run(stage: Stage) -> Report:
    """quote, queue, queue with a picture, and poll; each beside an empty answer in the same run."""
    report = Report(
        "http: calls a second on one core, 32 connections",
        ("call", "goal/s", "calls/s", "of empty", "p50 ms", "p99 ms", "load's core"),
    )
    seconds = stage.pick(40, 3) / 10
    async with made_yard(stage, "http") as yard:
        tenants = [await make_tenant(yard) for _ in range(ACCOUNTS)]
        url, home = yard.database.url, yard.settings.home
        asked = VideoRequest(TEXT_MODEL, "a lagoon", "5s", resolution="480p")
        jobs = [await generation.queue(yard, tenant.caller, asked, None) for tenant in tenants]
        polls = [
            _retrieve(str(job.queue_id), tenant) for job, tenant in zip(jobs, tenants, strict=True)
        ]
        async with empty() as other, squero(stage, url, home) as server:
            nothing = await _measure(other, [request("/", QUOTE)], seconds)
            _add(report, Goal("an empty answer", 0), nothing, nothing)
            calls = [
                (Goal("quote", 12_000), [request("/api/v1/video/quote", QUOTE)]),
                (Goal("poll of a job that waits", 3_000), polls),
                (Goal("queue, an account each", 700), [_queue(one) for one in tenants]),
                (Goal("queue, one account", 0), [_queue(tenants[0])]),
                (Goal("queue with a 200 kB picture", 100), [_animate(one) for one in tenants]),
            ]
            for goal, requests in calls:
                _add(report, goal, await _measure(server, requests, seconds), nothing)
    report.notes.append("goal/s is what later versions are to reach on a core of such a machine.")
    report.notes.append("The load's core near 1: the load, not the server, sets the figure.")
    return report


def picture(size: int) -> bytes:
    """A JPEG of about this size, half photograph and half noise."""
    side = max(64, int((size / 0.55) ** 0.5))
    noise = Image.frombytes("L", (side, side), os.urandom(side * side))
    smooth = noise.resize((side // 8, side // 8)).resize((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    Image.merge("RGB", (Image.blend(noise, smooth, 0.5), smooth, smooth)).save(
        file, "JPEG", quality=90
    )
    return file.getvalue()


def data_url(data: bytes) -> str:
    """The JPEG as clients send it."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


async def _measure(server: Server, requests: Sequence[bytes], seconds: float) -> Met:
    load = Load(server.port, requests, CONNECTIONS, seconds / 4, core=cores()[1])
    (await apply(load)).expect(200)  # warms connections, caches and prepared statements
    load = Load(server.port, requests, CONNECTIONS, seconds, core=cores()[1])
    return (await apply(load)).expect(200)


def _add(report: Report, goal: Goal, met: Met, nothing: Met) -> None:
    times = 1000 * met.middle, 1000 * met.high
    report.add(goal.name, goal.rate or "", met.rate, met.rate / nothing.rate, *times, met.busy)


def _queue(tenant: Tenant) -> bytes:
    body = QUOTE | {"prompt": "gondolas in the fog, slow zoom"}
    return request("/api/v1/video/queue", body, key=tenant.key)


def _animate(tenant: Tenant) -> bytes:
    body = {"model": IMAGE_MODEL, "prompt": "slow zoom", "duration": "5s", "resolution": "720p"}
    image = {"image_url": data_url(picture(PICTURE_BYTES))}
    return request("/api/v1/video/queue", body | image, key=tenant.key)


def _retrieve(queue_id: str, tenant: Tenant) -> bytes:
    body = {"model": TEXT_MODEL, "queue_id": queue_id}
    return request("/api/v1/video/retrieve", body, key=tenant.key)
