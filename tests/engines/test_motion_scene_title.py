"""Titles: only what is quoted, without what cannot be drawn, in fonts of the operator's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from numpy.typing import NDArray
from PIL import ImageFont

from squero.engines.motion.planes import Planes
from squero.engines.motion.scene import Scene
from squero.engines.motion.scene.title import draws, faces_of, runs, title_of
from squero.shot import Shot

ShotOf = Callable[..., Shot]
FACES = faces_of(None)


def luma(shot: Shot, share: float, fonts: Path | None = None) -> NDArray[np.uint8]:
    planes = Planes.blank(shot.width, shot.height)
    Scene(shot, fonts).expose(share, planes)
    return planes.y


def white(picture: NDArray[np.uint8]) -> float:
    """How much of the picture's middle is as bright as letters are."""
    height = picture.shape[0]
    return float((picture[height // 3 : height * 2 // 3] > 215).mean())


def squares(path: Path, letters: str) -> None:
    """A font in which each of these letters is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(letter): "square" for letter in letters})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 100)})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


class TestTitle:
    @pytest.mark.parametrize(
        ("prompt", "lines"),
        [
            ("a lake at night", []),
            ('"Dusk" on a lake', ["Dusk"]),
            ("“Quiet  Water” and more", ["Quiet Water"]),
            ("«Laguna», a lake", ["Laguna"]),
            ("„Der See“ am Abend", ["Der See"]),
            ('a lake, "One" and "Two"', ["One Two"]),
            ("it's the fishermen's lake", []),
            ('an empty "" title', []),
            ('"a\U0010ffff月x" here', ["ax"]),
            ('"Café d’Été – 1" here', ["Cafe d’Ete - 1"]),
            ('"月光"', []),
        ],
    )
    def test_is_what_is_quoted(self, prompt: str, lines: list[str]) -> None:
        assert title_of(prompt, FACES) == lines

    def test_is_broken_into_at_most_three_lines(self) -> None:
        lines = title_of('"' + "many words " * 30 + '"', FACES)
        assert len(lines) == 3
        assert max(map(len, lines)) <= 26
        assert lines[-1].endswith("...")

    def test_fades_in_and_out(self, shot_of: ShotOf) -> None:
        shot = shot_of('"MMMM" on a lake at night', width=320, height=180)
        bare = shot_of("on a lake at night", width=320, height=180)
        assert [white(luma(shot, share)) for share in (0, 1)] == [
            white(luma(bare, share)) for share in (0, 1)
        ]
        assert white(luma(shot, 0.5)) > white(luma(bare, 0.5)) + 0.01
        assert white(luma(shot, 0.12)) < white(luma(shot, 0.5))

    def test_what_cannot_be_drawn_leaves_the_scene(self, shot_of: ShotOf) -> None:
        shot = shot_of('"月光" a lake at night')
        assert np.array_equal(luma(shot, 0.5), luma(shot_of(" a lake at night"), 0.5))


class TestFonts:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A folder with a font (Pillow's own), one that is broken, and what is no font."""
        font = ImageFont.load_default(20)
        assert isinstance(font, ImageFont.FreeTypeFont)
        data = font.font_bytes
        (tmp_path / "b.ttf").write_bytes(data)
        (tmp_path / "a.TTF").write_bytes(b"broken")
        (tmp_path / "readme.txt").write_text("no font")
        return tmp_path

    def test_of_a_folder_come_after_the_built_in_one(self, folder: Path) -> None:
        faces = faces_of(folder)
        assert len(faces) == 2
        assert draws(faces[1], "M")

    def test_the_first_that_has_a_letter_draws_it(self) -> None:
        class Half:
            """A font that has capitals only."""

            def getmask(self, text: str) -> object:
                known = text.isupper()
                return FACES[0].getmask("M" if known else "\U0010ffff")

        assert runs("ABcd E", [Half(), FACES[0]]) == [(0, "AB"), (1, "cd"), (0, " E")]  # type: ignore[list-item]

    def test_draw_what_the_built_in_one_cannot(self, folder: Path, shot_of: ShotOf) -> None:
        bare, moon = (
            shot_of("on a lake at night", width=320, height=180),
            '"月月" on a lake at night',
        )
        assert white(luma(shot_of(moon, width=320, height=180), 0.5, folder)) == white(
            luma(bare, 0.5, folder)
        )
        squares(folder / "c.ttf", "月")
        assert title_of(moon, faces_of(folder)) == ["月月"]
        shown = luma(shot_of(moon, width=320, height=180), 0.5, folder)
        assert white(shown) > white(luma(bare, 0.5, folder)) + 0.01
