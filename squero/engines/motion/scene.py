"""What is drawn when there is no picture: drifting colours, and the prompt's first words."""

import colorsys
import re
import textwrap

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from squero.engines.motion.camera import ease
from squero.engines.motion.planes import MATRIX, NEUTRAL, WHITE, Planes
from squero.shot import Shot

COARSE = 32
"""The colours are worked out on this many columns and enlarged: they have no finer detail."""
COLOURS = 4
TITLE_WORDS = 8
TITLE_CHARACTERS = 18
TITLE_LINES = 4
FADE_SHARE = 0.15

Field = NDArray[np.float32]


class Scene:
    """Colours that drift over the length of the clip, chosen by the seed, under a title."""

    def __init__(self, shot: Shot) -> None:
        chance = np.random.default_rng(abs(shot.seed))
        self._colours = palette(chance)
        self._phases = chance.uniform(0, 2 * np.pi, (COLOURS, 4)).astype(np.float32)
        rows = max(2, round(COARSE * shot.height / shot.width))
        self._down, self._across = np.meshgrid(
            np.linspace(-1, 1, rows, dtype=np.float32),
            np.linspace(-1, 1, COARSE, dtype=np.float32),
            indexing="ij",
        )
        self._title = lettering(title_of(shot.prompt), shot.width, shot.height)
        height, width = self._title.shape
        self._small_title = cv2.resize(
            self._title, (width // 2, height // 2), interpolation=cv2.INTER_AREA
        )

    def expose(self, share: float, frame: Planes) -> None:
        """Fill the frame with the scene at this share of the clip."""
        coarse = self._mix(share)
        shown = ease(min(1.0, share / FADE_SHARE))
        layers = (
            (frame.y, self._title, WHITE),
            (frame.u, self._small_title, NEUTRAL),
            (frame.v, self._small_title, NEUTRAL),
        )
        for channel, (plane, letters, ink) in enumerate(layers):
            size = (plane.shape[1], plane.shape[0])
            field = cv2.resize(coarse[..., channel], size, interpolation=cv2.INTER_CUBIC)
            field += (ink - field) * (letters * np.float32(shown))
            np.rint(field, out=field)
            np.clip(field, 0, 255, out=field)
            plane[:] = field

    def _mix(self, share: float) -> Field:
        """The colours at this share, as a small picture in YUV."""
        weights = np.stack([self._weight(phases, share) for phases in self._phases])
        weights /= weights.sum(axis=0)
        mixed: Field = np.tensordot(weights, self._colours, axes=(0, 0)).astype(np.float32)
        return mixed

    def _weight(self, phases: Field, share: float) -> Field:
        """How strongly one colour shows: a soft spot on a slow ellipse."""
        turn = np.float32(2 * share)
        x, y = 0.8 * np.sin(phases[0] + turn), 0.8 * np.cos(phases[1] + turn * np.sin(phases[3]))
        distance = (self._across - x) ** 2 + (self._down - y) ** 2
        weight: Field = np.exp(-distance * (1.6 + np.sin(phases[2]))) + np.float32(0.02)
        return weight


def palette(chance: np.random.Generator) -> Field:
    """Colours that go together, as rows of Y, U, V: neighbours in hue, from dark to light."""
    hue = chance.uniform()
    rgb = [
        colorsys.hsv_to_rgb((hue + step * 0.09) % 1, 0.75 - 0.12 * step, 0.22 + 0.17 * step)
        for step in range(COLOURS)
    ]
    colours: Field = (255 * np.array(rgb) @ MATRIX[:, :3].T + MATRIX[:, 3]).astype(np.float32)
    return colours


def title_of(prompt: str) -> list[str]:
    """The prompt's first clause in lines, without the letters that the built-in font lacks."""
    font = ImageFont.load_default(24)
    lacking = bytes(font.getmask("\U0010ffff"))
    known = "".join(
        letter if letter.isspace() or bytes(font.getmask(letter)) != lacking else ""
        for letter in prompt[:200]
    )
    clause = re.split(r"[.,;:!?](?:\s|$)", known.strip(), maxsplit=1)[0]
    words = clause.split()
    ending = "…" if len(words) > TITLE_WORDS else ""
    text = " ".join(words[:TITLE_WORDS]) + ending
    return textwrap.wrap(text, TITLE_CHARACTERS, max_lines=TITLE_LINES, placeholder="…")


def lettering(lines: list[str], width: int, height: int) -> Field:
    """How much ink each pixel takes, 0 to 1, with the lines in the middle of the frame."""
    sheet = Image.new("L", (width, height))
    font = fitting(lines, width, height)
    ImageDraw.Draw(sheet).multiline_text(
        (width / 2, height / 2),
        "\n".join(lines),
        fill=255,
        font=font,
        anchor="mm",
        align="center",
        spacing=font.size * 0.3,
    )
    return np.asarray(sheet, np.float32) / np.float32(255)


def fitting(lines: list[str], width: int, height: int) -> ImageFont.FreeTypeFont:
    """The built-in font at the largest size at which the lines take four fifths of the frame."""
    size = min(width, height) / 8
    for line in lines:
        length = ImageFont.load_default(100).getlength(line) / 100
        size = min(size, 0.8 * width / length, 0.8 * height / (1.4 * len(lines)))
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("This Pillow was built without FreeType")
    return font
