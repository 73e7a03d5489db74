"""The video calls over HTTP: the server on one core, its load on another, PostgreSQL on any."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from benchmarks.load import Load, Met, apply, request
from benchmarks.report import Report
from benchmarks.server import Server, database_cpu_seconds, empty, squero
from benchmarks.stage import Stage, Tenant, cores, made_yard, make_tenant
from squero.domain import generation
from squero.domain.catalog import VideoRequest
from squero.domain.yard import Yard

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


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls met with, and the CPU time that they took, in µs a call."""

    met: Met
    server_us: float
    database_us: float


async def run(stage: Stage) -> Report:
    """quote, poll, queue without and with a picture; each beside an empty answer."""
    report = Report(
        f"http: calls on one core, {CONNECTIONS} connections",
        (
            "call",
            "goal/s",
            "calls/s",
            "per CPU s",
            "of empty",
            "server µs",
            "database µs",
            "p50 ms",
            "p99 ms",
            "load",
        ),
    )
    async with made_yard(stage, "http") as yard:
        tenants = [await make_tenant(yard) for _ in range(ACCOUNTS)]
        polls = [_retrieve(await _queued(yard, tenant), tenant) for tenant in tenants]
        calls = [
            (Goal("quote", 12_000), [request("/api/v1/video/quote", QUOTE)]),
            (Goal("poll, a waiting job", 3_000), polls),
            (Goal("queue, 16 accounts", 700), [_queue(one) for one in tenants]),
            (Goal("queue, 1 account", 0), [_queue(tenants[0])]),
            (Goal("queue with 200 kB", 100), [_animate(one) for one in tenants]),
        ]
        async with empty() as other, squero(stage, yard.database.url, yard.settings.home) as server:
            nothing = await _measure(stage, other, [request("/", QUOTE)])
            _add(report, Goal("an empty answer", 0), nothing, nothing)
            for goal, requests in calls:
                _add(report, goal, await _measure(stage, server, requests), nothing)
    report.notes += [
        "goal/s is what later versions are to reach. `per CPU s` is calls a second of the server's",
        "own CPU time, and `of empty` is the ratio of those: neighbours on the machine do not",
        "change them. `load` near 1: the load took all of its core, and sets the figure.",
    ]
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


async def _measure(stage: Stage, server: Server, requests: Sequence[bytes]) -> Cost:
    seconds = stage.pick(40, 2) / 10
    warming = Load(server.port, requests, CONNECTIONS, seconds / 4, core=cores()[1])
    (await apply(warming)).expect(200)
    before = server.cpu_seconds(), database_cpu_seconds(stage)
    met = await apply(Load(server.port, requests, CONNECTIONS, seconds, core=cores()[1]))
    own = server.cpu_seconds() - before[0]
    database = database_cpu_seconds(stage) - before[1]
    count = met.expect(200).answers
    return Cost(met, 1e6 * own / count, 1e6 * database / count)


def _add(report: Report, goal: Goal, cost: Cost, nothing: Cost) -> None:
    met, own = cost.met, cost.server_us or 1e-9
    times = 1000 * met.middle, 1000 * met.high
    ratios = 1e6 / own, nothing.server_us / own
    spent = cost.server_us, cost.database_us
    report.add(goal.name, goal.rate or "", met.rate, *ratios, *spent, *times, met.busy)


async def _queued(yard: Yard, tenant: Tenant) -> str:
    asked = VideoRequest(TEXT_MODEL, "a lagoon", "5s", resolution="480p")
    return str((await generation.queue(yard, tenant.caller, asked, None)).queue_id)


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
