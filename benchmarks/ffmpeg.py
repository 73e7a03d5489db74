"""ffmpeg moving over a still with the same finish, where it is installed: `motion` beside it."""

import asyncio
import shutil
import time
from pathlib import Path

FINISH = "noise=c0s=3:c0f=t,vignette=PI/6"
"""Grain of 1.52 steps of luma, as measured on an even grey (ours: 1.53), and darker corners."""


async def zoomed(picture: Path, size: tuple[int, int], frames: int, out: Path) -> float | None:
    """The seconds of a push in on the picture, without those that ffmpeg takes to start.

    None when it is not installed.
    """
    if (program := shutil.which("ffmpeg")) is None:
        return None
    width, height = size
    # The usual trick: zoompan steps by whole pixels, which four times as many make smaller.
    move = (
        f"scale={4 * width}:{4 * height},"
        f"zoompan=z='1+0.38*on/{frames}':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2'"
        f":d={frames}:s={width}x{height}:fps=24,{FINISH},format=yuv420p"
    )
    coding = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "48")
    quiet = (program, "-nostdin", "-v", "error", "-y")
    # The first start of all reads the program from the disk, which the render then need not do.
    starting = min([await _seconds(program, "-v", "error", "-version") for _ in range(3)])
    whole = await _seconds(
        *quiet, "-i", picture, "-vf", move, "-frames:v", str(frames), *coding, out
    )
    return whole - starting


async def _seconds(*command: str | Path) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise RuntimeError(f"ffmpeg ended with {process.returncode}")
    return time.perf_counter() - began
