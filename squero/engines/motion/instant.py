"""A slate in place of a clip: the prompt and the frame's number, for tests that want no wait.

Only the first frame is drawn and coded for a shot. What follows it changes nothing but the numbers
in a band of its own, so that it is the same for every shot of a size: coded once, and kept.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video import VideoStream
from av.video.codeccontext import VideoCodecContext
from PIL import Image, ImageDraw, ImageFont

from squero.engines import Tell
from squero.engines.motion.ambience import Samples
from squero.engines.motion.film import Coding, Film
from squero.engines.motion.planes import Planes
from squero.engines.motion.scene.title import Font, draws, faces_of, lettering
from squero.engines.motion.sound import CHANNELS, SAMPLE_RATE, fitted
from squero.shot import Shot

SLICES = 4
"""The band is the first slice: nothing outside a slice has a bearing on how it is coded."""
CODING = Coding(
    {"preset": "ultrafast", "tune": "zerolatency", "qp": "20"},
    (f"slices={SLICES}", "threads=1", "keyint=infinite"),
)
MACROBLOCK = 16
GROUND, LIGHT = (52, 138, 122), 225
NOISE_PIXELS = 1_800
"""Fresh in every frame, lest a clip be taken for an error by those who look at its size."""
CHARACTERS = 32
LINES = 7

Size = tuple[int, int]


@dataclass(slots=True)
class Tail:
    """The coded frames that follow the first one, for all shots of a size and pace."""

    width: int
    height: int
    fps: int
    frames: list[bytes] = field(default_factory=list)

    def up_to(self, count: int) -> list[bytes]:
        """So many frames; those that no shot asked for before are coded now."""
        if len(self.frames) < count:
            self.frames = list(self._coded(count))
        return self.frames[:count]

    def _coded(self, count: int) -> Iterator[bytes]:
        coder = av.CodecContext.create("libx264", "w")
        CODING.set_up(coder, self.width, self.height, self.fps)
        planes = ground(self.width, self.height)
        mark(planes, 0)
        (first,) = coder.encode(picture(planes, 0))
        # From what a player shows: then nothing outside the band differs, and nothing is coded.
        planes = shown(coder, first)
        for number in range(1, count + 1):
            mark(planes, number)
            (packet,) = coder.encode(picture(planes, number))
            yield bytes(packet)


class Slates:
    """Writes slates; what it keeps between shots holds nothing of theirs."""

    def __init__(self, fonts: Path | None) -> None:
        self._faces: list[Font] = faces_of(fonts)
        self._tails: dict[tuple[int, int, int], Tail] = {}

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot; raises BadInput when its sound cannot be decoded."""
        planes = ground(shot.width, shot.height)
        self._write(shot.prompt, planes)
        mark(planes, 0)
        kind = (shot.width, shot.height, shot.fps)
        tail = self._tails.setdefault(kind, Tail(*kind)).up_to(shot.frames - 1)
        with Film(out, shot, sound_of(shot), CODING) as film:
            film.advance(planes)
            for number, coded in enumerate(tail, start=1):
                film.splice(coded)
                tell(number / shot.frames)
        tell(1.0)

    def _write(self, prompt: str, planes: Planes) -> None:
        """Set the prompt below the band, as much of it as there is room for."""
        text = " ".join(prompt[: CHARACTERS * LINES * 2].split())
        known = {letter for letter in set(text) if any(draws(face, letter) for face in self._faces)}
        text = "".join(letter for letter in text if letter in known)
        lines = textwrap.wrap(text, CHARACTERS, max_lines=LINES, placeholder=" …")
        if lines:
            below = planes.y[band(planes) :]
            ink = lettering(lines, self._faces, below.shape[1], below.shape[0])
            below[:] = np.maximum(below, (ink.astype(np.uint16) * LIGHT // 255).astype(np.uint8))


def sound_of(shot: Shot) -> Samples | None:
    """The sound that was given, else silence where sound is wanted."""
    length = round(Fraction(shot.frames * SAMPLE_RATE, shot.fps))
    if "audio" in shot.media:
        return fitted(shot.media["audio"], length)
    return np.zeros((CHANNELS, length), np.float32) if shot.audio else None


def ground(width: int, height: int) -> Planes:
    """An empty slate."""
    planes = Planes.blank(width, height)
    for plane, level in zip((planes.y, planes.u, planes.v), GROUND, strict=True):
        plane[:] = level
    return planes


def band(planes: Planes) -> int:
    """How many rows at the top belong to the number: those of x264's first slice."""
    rows: int = -(-planes.y.shape[0] // MACROBLOCK)
    return (rows + SLICES // 2) // SLICES * MACROBLOCK


def mark(planes: Planes, number: int) -> None:
    """Write the frame's number into the band, and a strip of noise beside it."""
    inner = planes.y[2 : band(planes) - 2]
    height, width = inner.shape
    sheet = Image.new("L", (width, height), GROUND[0])
    font = ImageFont.load_default(height * 0.8)
    ImageDraw.Draw(sheet).text((4, height / 2), f"{number:04d}", LIGHT, font, "lm")
    inner[:] = np.asarray(sheet)
    strip = inner[:, -min(width // 4, -(-NOISE_PIXELS // height)) :]
    strip[:] = np.random.default_rng(number).integers(60, 180, strip.shape, np.uint8)


def picture(planes: Planes, number: int) -> av.VideoFrame:
    """The planes as the frame of this number, to be coded."""
    frame = av.VideoFrame.from_numpy_buffer(planes.buffer, format="yuv420p")
    frame.pts = number
    return frame


def shown(coder: VideoCodecContext, packet: "av.Packet[VideoStream]") -> Planes:
    """What a player makes of a clip's first frame."""
    player = av.CodecContext.create("h264", "r")
    player.extradata = coder.extradata
    (frame,) = [*player.decode(packet), *player.decode(None)]
    return Planes.over(np.ascontiguousarray(frame.to_ndarray(), np.uint8))
