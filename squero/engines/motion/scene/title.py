"""A title: what stands in quotation marks in the prompt, over the scene, fading in and out."""

import textwrap
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from squero.engines.motion.camera import ease
from squero.engines.motion.planes import NEUTRAL, Plane, Planes
from squero.engines.motion.scene.layer import dimmed, frame_part, halved, plane_of
from squero.engines.motion.scene.words import quoted

INK = 232
CHARACTERS = 26
LINES = 3
LETTERS = 120
BEGINS, SHOWN, LEAVES, GONE = 0.06, 0.2, 0.84, 0.97
"""When the title fades, in shares of the clip."""
SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")

Font = ImageFont.FreeTypeFont
_NOWHERE = "\U0010ffff"
_SIMPLER = str.maketrans("–—", "--")


class Title:
    """Lines of letters with a soft shadow; nothing at all without a quotation that can be drawn."""

    def __init__(self, prompt: str, width: int, height: int, fonts: Path | None) -> None:
        faces = faces_of(fonts)
        lines = title_of(prompt, faces)
        self._letters: Plane | None = None
        if lines:
            letters = lettering(lines, faces, width, height)
            rows, columns = np.nonzero(letters)
            if rows.size:
                self._keep(letters, rows, columns)

    def _keep(self, letters: Plane, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
        height, width = letters.shape
        margin = height // 12
        top, left = (max(0, int(axis.min()) - margin) // 2 * 2 for axis in (rows, columns))
        bottom = min(height, (int(rows.max()) + margin) // 2 * 2 + 2)
        right = min(width, (int(columns.max()) + margin) // 2 * 2 + 2)
        self._box = top, bottom, left, right
        self._letters = np.ascontiguousarray(letters[top:bottom, left:right])
        wide = cv2.GaussianBlur(self._letters, (0, 0), height / 60)
        near = cv2.GaussianBlur(self._letters, (0, 0), height / 300)
        self._shadow = plane_of(cv2.addWeighted(wide, 0.6, near, 0.45, 0))

    def lay(self, share: float, frame: Planes) -> None:
        """Set the title over the frame at this share of the clip."""
        if self._letters is None:
            return
        shown = ease(min(1.0, max(0.0, (share - BEGINS) / (SHOWN - BEGINS))))
        shown *= 1 - ease(min(1.0, max(0.0, (share - LEAVES) / (GONE - LEAVES))))
        if not shown:
            return
        luma, *chromas = frame_part(frame, *self._box)
        through = cv2.bitwise_not(dimmed(self._shadow, shown))
        cv2.multiply(luma, through, dst=luma, scale=1 / 255)
        letters = dimmed(self._letters, shown)
        lay_ink(luma, letters, INK)
        half = halved(letters)
        for chroma in chromas:
            lay_ink(chroma, half, NEUTRAL)


def lay_ink(plane: Plane, cover: Plane, level: int) -> None:
    """Paint the plane in one tone where it is covered."""
    cv2.multiply(plane, cv2.bitwise_not(cover), dst=plane, scale=1 / 255)
    cv2.add(plane, dimmed(cover, level / 255), dst=plane)


def faces_of(folder: Path | None) -> list[Font]:
    """The built-in font, then those in the folder in the order of their names."""
    faces = [_builtin()]
    for path in sorted(folder.iterdir()) if folder else ():
        if path.suffix.lower() in SUFFIXES:
            try:
                faces.append(ImageFont.truetype(str(path), LETTERS))
            except OSError:
                continue
    return faces


def _builtin() -> Font:
    font = ImageFont.load_default(LETTERS)
    if not isinstance(font, Font):
        raise RuntimeError("This Pillow was built without FreeType")
    return font


def draws(face: Font, letter: str) -> bool:
    """Whether the font has this letter; blanks it always has."""
    if letter.isspace():
        return True
    mask = face.getmask(letter)
    return mask.size[0] > 0 and bytes(mask) != bytes(face.getmask(_NOWHERE))


def title_of(prompt: str, faces: Sequence[Font]) -> list[str]:
    """The quoted words in lines, without the letters that no font has.

    A letter with a mark that no font has loses its mark.
    """
    text = " ".join(" ".join(quoted(prompt)).split())[:200]
    known = "".join(nearest(letter, faces) for letter in text)
    lines = textwrap.wrap(known, CHARACTERS, max_lines=LINES, placeholder=" ...")
    return lines if known.strip() else []


def nearest(letter: str, faces: Sequence[Font]) -> str:
    """The letter, or else what is left of it that a font has."""
    if any(draws(face, letter) for face in faces):
        return letter
    parts = unicodedata.normalize("NFKD", letter.translate(_SIMPLER))
    return "".join(part for part in parts if any(draws(face, part) for face in faces))


def runs(text: str, faces: Sequence[Font]) -> list[tuple[int, str]]:
    """The text in runs of letters that the same font draws: the first that has them."""

    def chosen(letter: str) -> int:
        return next((index for index, face in enumerate(faces) if draws(face, letter)), 0)

    return [(index, "".join(letters)) for index, letters in groupby(text, chosen)]


def lettering(lines: list[str], faces: Sequence[Font], width: int, height: int) -> Plane:
    """How much ink each pixel takes, with the lines in the middle of the frame."""
    in_runs = [runs(line, faces) for line in lines]
    longest = max(sum(faces[i].getlength(part) for i, part in line) for line in in_runs)
    size = min(min(width, height) / 8.5, LETTERS * 0.8 * width / max(longest, 1))
    size = min(size, 0.7 * height / (1.35 * len(lines)))
    sized = [
        face.font_variant(size=max(4, size)) if face.path else ImageFont.load_default(size)
        for face in faces
    ]
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(in_runs):
        x = (width - sum(sized[i].getlength(part) for i, part in line)) / 2
        y = height / 2 + (number - (len(lines) - 1) / 2) * 1.35 * size
        for index, part in line:
            draw.text((x, y + 0.35 * size), part, fill=255, font=sized[index], anchor="ls")
            x += sized[index].getlength(part)
    return np.asarray(sheet)
