"""Many large uploads at once: how long, how much memory, and what everybody else feels of it."""

import os

from benchmarks.http import IMAGE_MODEL, data_url, picture
from benchmarks.load import Load, apply, begin, request
from benchmarks.report import Report
from benchmarks.server import UNLIMITED, Server, empty, squero
from benchmarks.stage import Stage, cores, made_yard, make_tenant

UPLOADS = 20
POLL_SECONDS = 0.01
POLLED_SECONDS = 4.0
"""How long /health is polled while nothing happens, to compare with."""


async def run(stage: Stage) -> Report:
    """20 queue calls with a picture of 30 MB at once, beside a server that drops the same bytes."""
    size = stage.pick(30_000_000, 300_000)
    report = Report(
        f"uploads: {UPLOADS} data URLs of {size / 1e6:g} MB at once",
        ("server", "wall s", "of dropping", "MB/s", "MB over idle", "worst poll ms", "poll p99 ms"),
    )
    settings = UNLIMITED | {"SQUERO_BODY_LIMIT_BYTES": "60000000"}
    # A small picture with a long tail: what is measured is the upload, not the decoding.
    padded = picture(200_000) + os.urandom(size - 200_000 if size > 200_000 else 0)
    async with made_yard(stage, "uploads") as yard:
        tenant = await make_tenant(yard)
        fields = {"model": IMAGE_MODEL, "prompt": "slow zoom", "duration": "5s"}
        body = fields | {"resolution": "480p", "image_url": data_url(padded)}
        async with (
            empty() as other,
            squero(stage, yard.database.url, yard.settings.home, settings) as server,
        ):
            await _measure(report, "drops the body", other, request("/drop", body), "/")
            queue = request("/api/v1/video/queue", body, key=tenant.key)
            await _measure(report, "Squero", server, queue, "/health")
            quiet = await apply(_polls(server, "/health", POLLED_SECONDS / stage.pick(1, 10)))
            report.notes.append(
                f"/health of the idle Squero: worst {1000 * quiet.longest:.1f} ms, "
                f"p99 {1000 * quiet.high:.1f} ms"
            )
    return report


async def _measure(report: Report, name: str, server: Server, upload: bytes, poll: str) -> None:
    """Apply the uploads while another client polls."""
    idle = server.forget_peak()
    polls = await begin(_polls(server, poll, 300))
    load = Load(server.port, [upload], UPLOADS, 300, total=UPLOADS, core=cores()[1])
    met = (await apply(load)).expect(200)
    polls.stop()
    polled = (await polls.met()).expect(200)
    peak = (server.memory_bytes() - idle) / 1e6
    base = float(report.rows[0][1]) if report.rows else met.seconds
    speed = UPLOADS * len(upload) / met.seconds / 1e6
    waits = 1000 * polled.longest, 1000 * polled.high
    report.add(name, met.seconds, met.seconds / base, speed, peak, *waits)


def _polls(server: Server, path: str, seconds: float) -> Load:
    asked = [request(path, method="GET")]
    return Load(server.port, asked, 1, seconds, core=cores()[1], pause_seconds=POLL_SECONDS)
