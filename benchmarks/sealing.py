"""What sealing costs: bytes through the cipher, and a large video on its way to its customers."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from benchmarks.load import Load, Met, apply, request
from benchmarks.nginx import nginx
from benchmarks.report import Report
from benchmarks.server import Server, empty, squero
from benchmarks.stage import Stage, Tenant, cores, made_yard, make_tenant, make_worker
from squero.domain import attempt, generation
from squero.domain.catalog import VideoRequest
from squero.domain.inputs import Sealing
from squero.domain.yard import Yard
from squero.media.sealed import SealedReader, SealedWriter

MODEL = "motion-text-to-video"
READERS = (1, 50)
PASSES = 5


async def run(stage: Stage) -> Report:
    """Seal, open, seek; then downloads by one reader and by fifty, beside the file unsealed."""
    report = Report(
        "sealing: 50 MB, on one core", ("what", "MB/s", "of plain", "first byte ms", "peak MB")
    )
    size = stage.pick(50_000_000, 2_000_000)
    plain = stage.folder / "plain.mp4"
    plain.write_bytes(os.urandom(size))
    _measure_cipher(stage, report, plain)
    async with made_yard(stage, "sealing") as yard:
        tenant = await make_tenant(yard)
        queue_id = await _finished(yard, tenant, plain)
        body = {"model": MODEL, "queue_id": str(queue_id)}
        download = request("/api/v1/video/retrieve", body, key=tenant.key)
        unsealed = request("/file", method="GET")
        async with (
            empty(plain) as uvicorn,
            nginx(plain) as other,
            squero(stage, yard.database.url, yard.settings.home) as server,
        ):
            for readers in READERS:
                total = max(readers, stage.pick(20, 2))
                base = await _download(uvicorn, unsealed, readers, total)
                _add(report, f"uvicorn FileResponse, {readers} readers", base, base, uvicorn)
                if other is not None:
                    base = await _download(other, unsealed, readers, total)
                    _add(report, f"nginx, {readers} readers", base, base, None)
                sealed = await _download(server, download, readers, total)
                _add(report, f"Squero, {readers} readers", sealed, base, server)
    if shutil.which("nginx") is None:
        report.notes.append("nginx is not installed here: `of plain` is of uvicorn's FileResponse.")
    return report


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
    report.add("write a plain file", megabytes / copied, 1.0, "", "")
    report.add("seal into a file", megabytes / sealed, copied / sealed, "", "")
    report.add("open a sealed file", megabytes / opened, copied / opened, "", "")
    report.add("Range at 90 % of it", "", "", 1000 * late, "")


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


async def _download(server: Server, asked: bytes, readers: int, total: int) -> Met:
    await apply(Load(server.port, [asked], 1, 60, total=1, core=cores()[1]))
    server.forget_peak()
    met = await apply(Load(server.port, [asked], readers, 60, total=total, core=cores()[1]))
    return met.expect(200)


def _add(report: Report, name: str, met: Met, base: Met, server: Server | None) -> None:
    speed = met.megabytes_per_second
    peak = server.memory_bytes() / 1e6 if server else ""
    report.add(name, speed, speed / base.megabytes_per_second, 1000 * met.first_byte, peak)
