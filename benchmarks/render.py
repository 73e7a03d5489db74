"""How fast the engine `motion` draws, in the child process that a worker would draw it in."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.ffmpeg import zoomed
from benchmarks.report import Report
from benchmarks.stage import Stage
from squero.domain.clip import FPS
from squero.domain.model import SIZES
from squero.engines.host import Host
from squero.engines.messages import Done
from squero.shot import Shot

PICTURE = Path(__file__).parents[1] / "examples" / "lagoon.jpg"
PUSH = "push in"
SCENE = "a slow pan over a lagoon at dusk, clouds, a skyline with lit windows"
RATIOS = {"480p": (1.0, 1.5), "720p": (1.4, 2.0), "1080p": (1.2, 2.0)}
"""Of ffmpeg's frames a second: what it has to be, and what is wanted."""
SCENE_FPS, PEAK_MB, INSTANT_MS = 30, 400, 150
ROUNDS = 3


async def run(stage: Stage) -> Report:
    """Frames a second and peak memory by size: beside ffmpeg, without a picture, and at once."""
    report = Report(
        "render: 5 s at 24 fps, two threads",
        ("shot", "of ffmpeg", "fps", "ffmpeg's fps", "of real time", "peak MB"),
    )
    sizes = list(RATIOS)[: stage.pick(3, 1)]
    for resolution in sizes:
        await _beside_ffmpeg(stage, report, resolution)
    for resolution in sizes:
        await _scene(stage, report, resolution)
    await _instant(stage, report)
    return report


async def _beside_ffmpeg(stage: Stage, report: Report, resolution: str) -> None:
    """The same move by both in turn, since the machine's other work changes meanwhile."""
    size, frames = SIZES[resolution], _frames(stage)
    ours: list[Done] = []
    theirs: list[float] = []
    for _ in range(stage.pick(ROUNDS, 1)):
        ours += await _render(stage, _shot(PUSH, size, frames, {"image": PICTURE}))
        seconds = await zoomed(PICTURE, size, frames, stage.folder / "ffmpeg.mp4")
        theirs += [seconds] if seconds else []
    speed, peak = frames / _least(ours), _peak_mb(ours)
    their_speed = frames / min(theirs) if theirs else 0.0
    ratio = speed / their_speed if theirs else ""
    name = f"image to video, {resolution}"
    report.add(name, ratio, speed, their_speed or "", speed / FPS, peak)
    least, wanted = RATIOS[resolution]
    goal = f"{name}: at least {least} of ffmpeg's frames a second ({wanted} wanted)"
    if not theirs:
        report.judge(f"{goal}: ffmpeg is not installed", passed=None)
    else:
        report.judge(f"{goal}: {ratio:.2f}", passed=speed >= least * their_speed)
    if resolution == "1080p":
        goal = f"{name}: at most {PEAK_MB} MB: {peak:.0f}"
        report.judge(goal, passed=peak <= PEAK_MB)


async def _scene(stage: Stage, report: Report, resolution: str) -> None:
    frames = _frames(stage)
    done = await _render(stage, _shot(SCENE, SIZES[resolution], frames, {}))
    speed, peak = frames / _least(done), _peak_mb(done)
    name = f"text to video, {resolution}"
    report.add(name, "", speed, "", speed / FPS, peak)
    if resolution == "720p":
        goal = f"{name}: at least {SCENE_FPS} frames a second: {speed:.0f}"
        report.judge(goal, passed=speed >= SCENE_FPS)
    if resolution == "1080p":
        report.judge(f"{name}: at most {PEAK_MB} MB: {peak:.0f}", passed=peak <= PEAK_MB)


async def _instant(stage: Stage, report: Report) -> None:
    """In a child that has made a slate of the size before."""
    frames = _frames(stage)
    shots = [_shot(f"{SCENE}, {number}", SIZES["720p"], frames, {}) for number in range(6)]
    _, *done = await _render(stage, *shots, options={"instant": True})
    speed, milliseconds = frames / _least(done), 1000 * _least(done)
    report.add("instant, 720p", "", speed, "", speed / FPS, _peak_mb(done))
    goal = f"instant, 720p: at most {INSTANT_MS} ms: {milliseconds:.0f}"
    report.judge(goal, passed=milliseconds <= INSTANT_MS)


def _frames(stage: Stage) -> int:
    return stage.pick(5 * FPS, 12)


def _shot(prompt: str, size: tuple[int, int], frames: int, media: Mapping[str, Path]) -> Shot:
    return Shot(prompt, *size, frames=frames, fps=FPS, seed=7, audio=not media, media=media)


def _least(done: list[Done]) -> float:
    return min(one.seconds for one in done)


def _peak_mb(done: list[Done]) -> float:
    return max(one.peak_bytes for one in done) / 1e6


async def _render(
    stage: Stage, *shots: Shot, options: Mapping[str, object] | None = None
) -> list[Done]:
    """The renders of one fresh child whose engine is loaded, so that its memory is its own."""
    scratch = stage.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    host = Host("motion", options or {}, scratch)
    try:
        await host.load()
        out = scratch / "out.mp4"
        return [await host.render(shot, out, 300) for shot in shots]
    finally:
        await host.aclose()
