"""How fast the engine `motion` draws, in the child process that a worker would draw it in."""

from pathlib import Path

from benchmarks.http import picture
from benchmarks.report import Report
from benchmarks.stage import Stage
from squero.domain.catalog import FPS, SIZES
from squero.engines.host import Host
from squero.engines.messages import Done
from squero.shot import Shot

PROMPT = "slow zoom in on the gondolas, the fog drifts to the left"


async def run(stage: Stage) -> Report:
    """Frames a second and the child's peak memory, by size, with a picture and without."""
    report = Report(
        "render: 5 s at 24 fps with sound, two threads",
        ("shot", "fps", "of real time", "of 480p per pixel", "peak MB"),
    )
    image = stage.folder / "picture.jpg"
    image.write_bytes(picture(400_000))
    for name, media in (("image to video", {"image": image}), ("text to video", {})):
        base = 0.0
        for resolution, size in list(SIZES.items())[: stage.pick(3, 1)]:
            done = await _render(stage, size, media)
            speed = stage.pick(5 * FPS, 12) / done.seconds
            pixels = speed * size[0] * size[1]
            base = base or pixels
            peak = done.peak_bytes / 1e6
            report.add(f"{name}, {resolution}", speed, speed / FPS, pixels / base, peak)
    return report


async def _render(stage: Stage, size: tuple[int, int], media: dict[str, Path]) -> Done:
    """One render in a fresh child whose engine is loaded, so that its peak memory is its own."""
    scratch = stage.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    host = Host("motion", {}, scratch)
    frames = stage.pick(5 * FPS, 12)
    shot = Shot(PROMPT, *size, frames=frames, fps=FPS, seed=7, audio=True, media=media)
    try:
        await host.load()
        return await host.render(shot, scratch / "out.mp4", lambda share: None, 300)
    finally:
        await host.aclose()
