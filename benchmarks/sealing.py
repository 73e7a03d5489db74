"""What sealing costs: bytes through the cipher, and a large video on its way to its customers."""

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.load import Load, Met, apply, request
from benchmarks.nginx import nginx
from benchmarks.report import Report
from benchmarks.server import Server, empty, squero
from benchmarks.stage import Stage, Tenant, cores, made_yard, make_tenant, make_worker
from squero.domain import attempt, generation
from squero.domain.inputs import Sealing
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.media.sealed import SealedReader, SealedWriter

MODEL = "motion-text-to-video"
READERS = {"1 reader": 1, "50 readers": 50}
PASSES = 5
OF_NGINX = 0.8
RANGE_MS = 20
IDLE_MB, READER_MB = 10, 3
"""What may be held above idle, once and for each reader. Two chunks of 256 KiB as they lie on the
disk, opened, joined and on their way out are 2 MB; a reader's whole file would be 50."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who hands out the video, and how it is asked for: whole, and from 90 % on."""

    name: str
    server: Server
    whole: bytes
    late: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """What readers met with, what it cost the server, and what memory it held above idle."""

    met: Met
    cpu_seconds: float
    held_mb: float

    @property
    def per_cpu_second(self) -> float:
        """Megabytes a second of the server's CPU time."""
        return self.met.body_bytes / 1e6 / (self.cpu_seconds or 1e-2)


async def run(stage: Stage) -> Report:
    """Seal, open, seek; then downloads by one reader and by fifty, beside the file unsealed."""
    size = stage.pick(50_000_000, 2_000_000)
    report = Report(
        f"sealing: {size / 1e6:g} MB, on one core",
        (
            "what",
            "MB/s",
            "of plain",
            "per CPU s",
            "first byte ms",
            "its p99",
            "MB over idle",
            "load",
        ),
    )
    plain = stage.folder / "plain.mp4"
    plain.write_bytes(os.urandom(size))
    _measure_cipher(stage, report, plain)
    async with _sources(stage, plain) as sources:
        for name, readers in READERS.items():
            total = max(readers, stage.pick(20, 2))
            downloads = [await _download(one, one.whole, readers, total) for one in sources]
            _add(report, name, sources, downloads)
            _judge(report, name, sources[-2].name, *downloads[-2:])
        total = stage.pick(200, 5)
        ranges = [await _download(one, one.late, 1, total, 206) for one in sources]
    _add(report, "Range at 90 %", sources, ranges)
    late = 1000 * ranges[-1].met.late_first_byte
    goal = f"first byte of a Range at 90 %: at most {RANGE_MS} ms: p99 {late:.1f} ms"
    report.judge(goal, passed=late <= RANGE_MS)
    report.notes += [
        f"`of plain` is of {sources[-2].name}. `per CPU s` is MB a second of the server's CPU",
        "time, which neighbours do not change; idle is after one download.",
    ]
    return report


@asynccontextmanager
async def _sources(stage: Stage, plain: Path) -> AsyncIterator[Sequence[Source]]:
    """Those that hand the file out unsealed, and then ours."""
    since = plain.stat().st_size * 9 // 10
    unsealed = [request("/file", method="GET", since=byte) for byte in (0, since)]
    async with made_yard(stage, "sealing") as yard:
        tenant = await make_tenant(yard)
        body = {"model": MODEL, "queue_id": str(await _finished(yard, tenant, plain))}
        path = "/api/v1/video/retrieve"
        sealed = [request(path, body, key=tenant.key, since=byte) for byte in (0, since)]
        async with (
            empty(plain) as uvicorn,
            nginx(plain) as other,
            squero(stage, yard.database.url, yard.settings.home) as server,
        ):
            sources = [Source("FileResponse", uvicorn, *unsealed)]
            sources += [Source("nginx", other, *unsealed)] if other else []
            yield [*sources, Source("Squero", server, *sealed)]


def _measure_cipher(stage: Stage, report: Report, plain: Path) -> None:
    data, path, key = plain.read_bytes(), stage.folder / "sealed", bytes(32)

    def seal() -> None:
        with path.open("w+b") as file:
            writer = SealedWriter(file, key)
            writer.write(data)
            writer.finish()

    def open_all() -> None:
        with SealedReader(path.open("rb"), key) as reader:
            for _ in reader.read_range(0, reader.size):
                pass

    def open_late() -> None:
        with SealedReader(path.open("rb"), key) as reader:
            next(reader.read_range(reader.size * 9 // 10, reader.size))

    copied = _best(lambda: (stage.folder / "copy").write_bytes(data))
    sealed, opened, late = _best(seal), _best(open_all), _best(open_late)
    megabytes = len(data) / 1e6
    unknown = [""] * 5
    report.add("write a plain file", megabytes / copied, 1.0, *unknown)
    report.add("seal into a file", megabytes / sealed, copied / sealed, *unknown)
    report.add("open a sealed file", megabytes / opened, copied / opened, *unknown)
    report.add("Range at 90 % of it", "", "", "", 1000 * late, *unknown[2:])


def _best(call: Callable[[], object]) -> float:
    """The seconds of the quickest of some calls: the one that was disturbed least."""
    times = []
    for _ in range(PASSES):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


async def _finished(yard: Yard, tenant: Tenant, video: Path) -> UUID:
    """A generation that is completed with these bytes as its video."""
    asked = VideoRequest(MODEL, "a lagoon", "5s", resolution="480p")
    await generation.queue(yard, tenant.caller, asked, None)
    worker = await make_worker(yard)
    assignment = await attempt.claim(yard, worker, ())
    assert assignment is not None
    job = assignment.claimed
    role = f"result/{job.attempt}"
    sealing = Sealing(job.queue_id, yard.keyring.unwrap(job.wrapped_key, job.key_day))
    with yard.folder.create(sealing.name(role)) as draft:
        writer = SealedWriter(draft.fileno(), sealing.key(role))
        writer.write(video.read_bytes())
        writer.finish()
        draft.publish()
    await attempt.finish(yard, worker, job.queue_id, job.attempt)
    return job.queue_id


async def _download(
    source: Source, asked: bytes, readers: int, total: int, status: int = 200
) -> Download:
    server = source.server
    await apply(Load(server.port, [asked], 1, 60, total=1, core=cores()[1]))
    idle, before = server.forget_peak(), server.cpu_seconds()
    met = await apply(Load(server.port, [asked], readers, 60, total=total, core=cores()[1]))
    spent, held = server.cpu_seconds() - before, server.memory_bytes() - idle
    return Download(met.expect(status), spent, held / 1e6)


def _add(
    report: Report, what: str, sources: Sequence[Source], downloads: Sequence[Download]
) -> None:
    base = downloads[-2].met.megabytes_per_second
    for source, one in zip(sources, downloads, strict=True):
        met = one.met
        speed = met.megabytes_per_second
        firsts = 1000 * met.first_byte, 1000 * met.late_first_byte
        ratios = speed / base, one.per_cpu_second
        report.add(f"{source.name}, {what}", speed, *ratios, *firsts, one.held_mb, met.busy)


def _judge(report: Report, name: str, beside: str, plain: Download, ours: Download) -> None:
    goal = f"{name}: at least {OF_NGINX} of nginx (1 wanted)"
    if beside != "nginx":
        report.judge(f"{goal}: nginx is not installed", passed=None)
    else:
        ratio = ours.met.megabytes_per_second / plain.met.megabytes_per_second
        loads = [who for who, one in ((beside, plain), ("Squero", ours)) if one.met.bounds]
        bound = f"; the load took all of its core beside {' and '.join(loads)}" if loads else ""
        reached = ratio >= OF_NGINX
        passed = None if ours.met.bounds and not reached else reached
        found = f"{ratio:.2f}, {ours.per_cpu_second:,.0f} MB per CPU second{bound}"
        report.judge(f"{goal}: {found}", passed=passed)
    most = IDLE_MB + READER_MB * READERS[name]
    goal = f"{name}: at most {most} MB above idle: {ours.held_mb:.0f} MB"
    report.judge(goal, passed=ours.held_mb <= most)
