"""The one test that an engine passes: `engine_contract(engine)`, in anyone's suite."""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import av

from squero.engines import Engine
from squero.shot import BadInput, Shot, Stopped

STOP_SECONDS = 5.0
SHOT = Shot(prompt="a lagoon at dusk", width=98, height=66, frames=12, fps=12, seed=7)
BROKEN = b"no picture, no sound and no video"


class ContractBroken(AssertionError):
    """What an engine did not do; the words say which part of the contract that was."""


def engine_contract(engine: Engine, shot: Shot = SHOT, stop_seconds: float = STOP_SECONDS) -> None:
    """Load the engine and hold it to its contract; raises ContractBroken.

    The shot is one that the engine can render: with an `image` for one that needs one. Within the
    seconds a render that is told to stop has to end.
    """
    engine.load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = _rendered(engine, shot, folder / "first.mp4", stop_seconds)
        _look(first, shot)
        again = _rendered(engine, shot, folder / "again.mp4", stop_seconds)
        _require(_seen(first) == _seen(again), "The same seed gave other frames")
        _stop(engine, shot, folder / "stopped.mp4", stop_seconds)
        _spoil(engine, shot, folder)
        after = _rendered(engine, shot, folder / "after.mp4", stop_seconds)
        _require(_seen(first) == _seen(after), "A stopped render left something to the next one")


def _rendered(engine: Engine, shot: Shot, out: Path, stop_seconds: float) -> Path:
    shares: list[float] = []
    times = [time.monotonic()]

    def tell(share: float, note: str | None = None) -> None:
        shares.append(share)
        times.append(time.monotonic())

    if (rest := engine.render(shot, out, tell)) is not None:
        rest()
    times.append(time.monotonic())
    _require(out.is_file(), "There is no file at `out`")
    _require(len(set(shares)) > 1, "Progress does not rise")
    _require(shares == sorted(shares), "Progress falls")
    _require(shares[0] >= 0 and shares[-1] <= 1, "Progress leaves 0 to 1")
    silence = max(later - earlier for earlier, later in pairwise(times))
    _require(silence <= stop_seconds, f"{silence:.1f} s without a chance to stop")
    return out


def _look(path: Path, shot: Shot) -> None:
    """The file against what was ordered."""
    boxes = _boxes(path.read_bytes())
    _require(boxes.index(b"moov") < boxes.index(b"mdat"), "The index is not at the front")
    with av.open(str(path)) as container:
        kinds = sorted(stream.type for stream in container.streams)
        wanted = ["audio", "video"] if shot.audio or "audio" in shot.media else ["video"]
        _require(kinds == wanted, f"{kinds} in place of {wanted}")
        video = container.streams.video[0]
        size = (video.width, video.height)
        _require(size == (shot.width, shot.height), f"{size} is not the size of the shot")
        frames = list(container.decode(video))
        _require(len(frames) == shot.frames, f"{len(frames)} frames in place of {shot.frames}")
        seconds = (video.duration or 0) * (video.time_base or Fraction(0))
        exact = Fraction(shot.frames, shot.fps)
        _require(math.isclose(seconds, exact, abs_tol=1e-3), f"{float(seconds)} s is not exact")


def _boxes(file: bytes) -> list[bytes]:
    """The kinds of an MP4's outermost parts, in order."""
    kinds, place = [], 0
    while place + 8 <= len(file):
        size = int.from_bytes(file[place : place + 4], "big")
        kinds.append(file[place + 4 : place + 8])
        # A size of 1 stands for one of 64 bits that follows, and 0 for all the rest.
        size = int.from_bytes(file[place + 8 : place + 16], "big") if size == 1 else size
        place += size or len(file)
    return kinds


def _stop(engine: Engine, shot: Shot, out: Path, stop_seconds: float) -> None:
    stopped = 0.0

    def tell(share: float, note: str | None = None) -> None:
        nonlocal stopped
        stopped = stopped or time.monotonic()
        raise Stopped("Nobody wants it")

    _raises(Stopped, lambda: engine.render(shot, out, tell), "A stop did not pass")
    late = time.monotonic() - stopped
    _require(late <= stop_seconds, f"It took {late:.1f} s to stop")


def _spoil(engine: Engine, shot: Shot, folder: Path) -> None:
    broken = folder / "broken"
    broken.write_bytes(BROKEN)
    for role in sorted({"image", *shot.media}):
        spoilt = replace(shot, media={**shot.media, role: broken})

        def render(spoilt: Shot = spoilt) -> None:
            engine.render(spoilt, folder / "spoilt.mp4", lambda share, note=None: None)

        _raises(BadInput, render, f"A broken {role} is no BadInput")


def _seen(path: Path) -> str:
    """A fingerprint of all frames."""
    digest = sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def _raises(kind: type[Exception], render: Callable[[], object], words: str) -> None:
    try:
        render()
    except kind:
        return
    except Exception as error:
        raise ContractBroken(f"{words}: {type(error).__name__}") from error
    raise ContractBroken(words)


def _require(kept: bool, words: str) -> None:
    if not kept:
        raise ContractBroken(words)
