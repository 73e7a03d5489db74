"""The video calls over HTTP: the server on one core, its load on another, PostgreSQL on any."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from PIL import Image

from benchmarks.litellm import litellm
from benchmarks.load import Load, Met, apply, request
from benchmarks.report import Report
from benchmarks.server import Server, database_cpu_seconds, empty, squero
from benchmarks.stage import Stage, Tenant, cores, made_yard, make_tenant
from squero.domain import generation
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard

CONNECTIONS = 32
ACCOUNTS = 16
PICTURE_BYTES = 200_000
CREATE, READ = "litellm: create a video", "litellm: read a video"
TEXT_MODEL, IMAGE_MODEL = "motion-text-to-video", "motion-image-to-video"
QUOTE = {"model": TEXT_MODEL, "duration": "5s", "resolution": "720p", "aspect_ratio": "16:9"}


_FULL = 0.9
"""From this share of its core on it is the server that bounds."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of ours, and what it is to reach."""

    name: str
    requests: Sequence[bytes]
    least: int = 0
    """Calls a second."""
    wanted: int = 0
    """The same, when all is well."""
    of_empty: float = 0.0
    like: str = ""
    """LiteLLM's call of the same kind."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls met with, and the CPU time that they took, in µs a call."""

    met: Met
    server_us: float
    database_us: float

    @property
    def per_cpu_second(self) -> float:
        """Calls a second of the server's own CPU time."""
        return 1e6 / (self.server_us or 1e-3)

    @property
    def share(self) -> float:
        """How much of its core the server took."""
        return self.met.rate / self.per_cpu_second

    @property
    def bound(self) -> str:
        """What kept it from being faster."""
        if self.met.bounds:
            return "bound by the load, which took all of its core"
        if self.share >= _FULL:
            return "bound by the server's core"
        return "neither core was full: bound by the database, the disk or the machine's other work"


async def run(stage: Stage) -> Report:
    """quote, poll, queue without and with a picture; beside an empty answer and LiteLLM."""
    report = Report(
        f"http: calls on one core, {CONNECTIONS} connections",
        (
            "call",
            "calls/s",
            "of empty",
            "of LiteLLM",
            "server µs",
            "database µs",
            "p50 ms",
            "p99 ms",
            "server",
            "load",
        ),
    )
    async with empty() as other:
        nothing = await _measure(stage, other, [request("/", QUOTE)])
    _add(report, "an empty answer", nothing, nothing)
    others = await _measure_litellm(stage, report, nothing)
    async with made_yard(stage, "http") as yard:
        calls = await _calls(yard)
        async with squero(stage, yard.database.url, yard.settings.home) as server:
            for call in calls:
                cost = await _measure(stage, server, call.requests)
                _add(report, call.name, cost, nothing, others.get(call.like))
                _judge(report, call, cost, nothing)
    report.notes += [
        "`server µs` is its CPU time with that of its children, `of empty` the ratio of those, and",
        "so is `of LiteLLM`, where PostgreSQL's time counts as ours: neighbours on the machine do",
        "not change them. `server` and `load` are the shares that each took of its core.",
    ]
    return report


async def _calls(yard: Yard) -> Sequence[Call]:
    tenants = [await make_tenant(yard) for _ in range(ACCOUNTS)]
    polls = [_retrieve(await _queued(yard, tenant), tenant) for tenant in tenants]
    clips = product(("5s", "10s"), ("480p", "720p", "1080p"))
    quotes = [
        request("/api/v1/video/quote", QUOTE | {"duration": duration, "resolution": resolution})
        for duration, resolution in clips
    ]
    queues = [_queue(one) for one in tenants]
    return (
        Call("quote", quotes, 12_000, of_empty=0.4),
        Call("poll, a waiting job", polls, 3_000, 8_000, like=READ),
        Call("queue, 16 accounts", queues, 700, 1_500, like=CREATE),
        Call("queue, 1 account", queues[:1], like=CREATE),
        Call("queue with 200 kB", [_animate(one) for one in tenants], 100),
    )


def picture(size: int) -> bytes:
    """A JPEG of about this size, half photograph and half noise."""
    side = max(64, int((size / 0.465) ** 0.5))
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


async def _measure_litellm(stage: Stage, report: Report, nothing: Cost) -> Mapping[str, Cost]:
    async with litellm(stage.folder) as proxy:
        if proxy is None:
            report.notes.append("LiteLLM is not installed (make bench installs it).")
            return {}
        costs = {
            CREATE: await _measure(stage, proxy.server, [proxy.create]),
            READ: await _measure(stage, proxy.server, [proxy.read]),
        }
    for name, cost in costs.items():
        _add(report, name, cost, nothing)
    return costs


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


def _add(report: Report, name: str, cost: Cost, nothing: Cost, other: Cost | None = None) -> None:
    met, own = cost.met, cost.server_us or 1e-3
    of_litellm = other.server_us / (own + cost.database_us) if other else ""
    ratios = nothing.server_us / own, of_litellm
    spent = cost.server_us, cost.database_us
    times = 1000 * met.middle, 1000 * met.high
    report.add(name, met.rate, *ratios, *spent, *times, cost.share, met.busy)


def _judge(report: Report, call: Call, cost: Cost, nothing: Cost) -> None:
    """The verdicts; a rate that the load itself did not allow for is not a miss of the server."""
    if call.least:
        wanted = f" ({call.wanted:,} wanted)" if call.wanted else ""
        found = f"{cost.met.rate:,.0f}/s, {cost.per_cpu_second:,.0f} per CPU second; {cost.bound}"
        reached = cost.met.rate >= call.least
        passed = None if cost.met.bounds and not reached else reached
        report.judge(f"{call.name}: at least {call.least:,}/s{wanted}: {found}", passed=passed)
    if call.of_empty:
        ratio = nothing.server_us / (cost.server_us or 1e-3)
        goal = f"{call.name}: at least {call.of_empty} of an empty answer: {ratio:.2f}"
        report.judge(goal, passed=ratio >= call.of_empty)


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
