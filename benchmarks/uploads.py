"""Many large uploads at once: how long, how much memory, and what everybody else feels of it."""

import base64
import os

from av.video.frame import VideoFrame

from benchmarks.load import Load, Met, apply, begin, request
from benchmarks.report import Report
from benchmarks.server import UNLIMITED, Server, empty, squero
from benchmarks.stage import Stage, cores, made_yard, make_tenant
from squero.media.reel import Reel

MODEL = "motion-video-to-video"
UPLOADS = 20
POLL_SECONDS = 0.01
POLLED_SECONDS = 4.0
"""How long /health is polled while nothing happens, to compare with."""
HELD_MB = 150
STALL_MS = 200
SETTINGS = UNLIMITED | {
    "SQUERO_BODY_LIMIT_BYTES": "60000000",
    "SQUERO_BODY_BYTES_IN_FLIGHT": "2100000000",
}


async def run(stage: Stage) -> Report:
    """20 queue calls with a body of 50 MB at once, beside a server that drops the same bytes."""
    size = stage.pick(50_000_000, 500_000)
    report = Report(
        f"uploads: {UPLOADS} bodies of {size / 1e6:g} MB at once",
        ("server", "wall s", "of dropping", "MB/s", "MB over idle", "worst poll ms", "poll p99 ms"),
    )
    async with made_yard(stage, "uploads") as yard:
        tenant = await make_tenant(yard)
        fields = {"model": MODEL, "prompt": "slower", "duration": "5s", "resolution": "480p"}
        body = fields | {"video_url": _data_url(size)}
        async with (
            empty() as other,
            squero(stage, yard.database.url, yard.settings.home, SETTINGS) as server,
        ):
            await _measure(report, "drops the body", other, request("/drop", body), "/")
            queue = request("/api/v1/video/queue", body, key=tenant.key)
            held_mb, polled = await _measure(report, "Squero", server, queue, "/health")
            quiet = await apply(_polls(server, "/health", POLLED_SECONDS / stage.pick(1, 10)))
    report.notes.append(
        f"/health of the idle Squero: worst {1000 * quiet.longest:.1f} ms, "
        f"p99 {1000 * quiet.high:.1f} ms"
    )
    _judge(report, held_mb, 1000 * polled.longest)
    return report


def _judge(report: Report, held_mb: float, worst_ms: float) -> None:
    goal = f"at most {HELD_MB} MB above idle: {held_mb:.0f} MB"
    report.judge(goal, passed=held_mb <= HELD_MB)
    goal = f"others stalled at most {STALL_MS} ms: {worst_ms:.0f} ms"
    report.judge(goal, passed=worst_ms <= STALL_MS)


def _data_url(size: int) -> str:
    """A second of video with a long tail: what is measured is the upload, not the decoding."""
    reel = Reel(256, 256, 10, None)
    for _ in range(10):
        reel.take(VideoFrame(256, 256, "yuv420p"))
    clip = reel.finish()
    length = max(8, size * 3 // 4 - len(clip))
    data = clip + length.to_bytes(4, "big") + b"free" + os.urandom(length - 8)
    return "data:video/mp4;base64," + base64.b64encode(data).decode()


async def _measure(
    report: Report, name: str, server: Server, upload: bytes, poll: str
) -> tuple[float, Met]:
    """Apply the uploads while another client polls; gives the MB held, and what it met with."""
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
    return peak, polled


def _polls(server: Server, path: str, seconds: float) -> Load:
    asked = [request(path, method="GET")]
    return Load(server.port, asked, 1, seconds, core=cores()[1], pause_seconds=POLL_SECONDS)
