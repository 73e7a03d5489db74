"""Draws `lagoon.jpg`, the picture that Squero ships to try itself with: a lagoon at dusk.

Run `python examples/lagoon.py [FILE]`; the same picture comes out every time.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Picture = NDArray[np.float32]
Point = tuple[float, float]
Placing = Callable[[Sequence[Point]], list[Point]]

WIDTH, HEIGHT = 1600, 900
FINE = 3
"""Shapes are drawn this many times larger and then reduced, for smooth outlines."""
HORIZON = 0.56
SUN = (0.655, 0.525)
SEED = 1094

SKY = (
    (0.00, "#141a3c"),
    (0.20, "#2b2c5f"),
    (0.38, "#5b3f77"),
    (0.56, "#a3557a"),
    (0.72, "#dc7a67"),
    (0.86, "#f5a95f"),
    (1.00, "#fdd88c"),
)


def colour(code: str) -> Picture:
    """The red, green and blue of "#rrggbb", 0 to 1."""
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / np.float32(255)


def grid() -> tuple[Picture, Picture]:
    """For every pixel how far it is across and down, 0 to 1."""
    across, down = np.meshgrid(
        np.linspace(0, 1, WIDTH, dtype=np.float32), np.linspace(0, 1, HEIGHT, dtype=np.float32)
    )
    return across, down


def noise(chance: np.random.Generator, columns: int, rows: int, octaves: int = 5) -> Picture:
    """Cloudy noise of about -1 to 1 whose largest lumps are as many as given."""
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(octaves):
        lumps = chance.standard_normal((rows << octave, columns << octave), np.float32)
        size = (WIDTH, HEIGHT)
        total += cv2.resize(lumps, size, interpolation=cv2.INTER_CUBIC) * np.float32(0.5**octave)
    return total / np.float32(1.6)


def blend(under: Picture, over: Picture, share: Picture) -> Picture:
    """`over` laid on `under` with this opacity, pixel by pixel."""
    mixed: Picture = under + (over - under) * share[..., None]
    return mixed


def sky(chance: np.random.Generator) -> Picture:
    """Dusk: from indigo to gold, a low sun, and bands of cloud lit from below."""
    across, down = grid()
    heights = np.array([at * HORIZON for at, _ in SKY])
    colours = np.stack([colour(code) for _, code in SKY])
    channels = [np.interp(down, heights, colours[:, channel]) for channel in range(3)]
    picture: Picture = np.stack(channels, axis=-1).astype(np.float32)
    away = np.hypot((across - SUN[0]) * 16 / 9, down - SUN[1])
    picture = blend(picture, colour("#ffdf9a"), 0.55 * np.exp(-away * 4.2))
    picture = cloud(picture, chance, away, down)
    return blend(picture, colour("#fff6d8"), np.clip((0.041 - away) * 400, 0, 1))


def cloud(picture: Picture, chance: np.random.Generator, away: Picture, down: Picture) -> Picture:
    """The picture with long bands of cloud, bright where they are near the sun."""
    bands = noise(chance, 3, 14)
    cover = np.clip((bands - 0.25) * 1.1, 0, 1) * np.clip(1.15 - down / HORIZON, 0, 1)
    dark, lit = colour("#3a2a58"), colour("#ff9c74")
    glow = np.exp(-away * 2.2)[..., None]
    rim = np.clip(bands - np.roll(bands, -7, axis=0), 0, 1)
    tinted: Picture = dark + (lit - dark) * glow
    return blend(blend(picture, tinted, 0.75 * cover), colour("#ffc08a"), 0.8 * rim * cover)


class Sheet:
    """A drawing in one ink, in shares of the picture's width (x) and height (y)."""

    def __init__(self) -> None:
        self._image = Image.new("L", (WIDTH * FINE, HEIGHT * FINE))
        self._draw = ImageDraw.Draw(self._image)

    def shape(self, points: Sequence[Point], ink: int = 255) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=ink)

    def box(self, left: float, top: float, right: float, bottom: float, ink: int = 255) -> None:
        """Fill a rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], ink)

    def stroke(self, points: Sequence[Point], width: float) -> None:
        """Draw a line as wide as this share of the picture's height."""
        thick = round(width * HEIGHT * FINE)
        self._draw.line([self._at(point) for point in points], 255, thick, joint="curve")

    def oval(self, middle: Point, across: float, down: float) -> None:
        """Fill an ellipse with these half axes."""
        x, y = middle
        self._draw.ellipse(
            [self._at((x - across, y - down)), self._at((x + across, y + down))], 255
        )

    def ink(self) -> Picture:
        """The drawing at the picture's size, 0 to 1."""
        reduced = self._image.reduce(FINE)
        return np.asarray(reduced, np.float32) / np.float32(255)

    def _at(self, point: Point) -> Point:
        return point[0] * WIDTH * FINE, point[1] * HEIGHT * FINE


def curve(start: Point, bend: Point, end: Point, steps: int = 24) -> list[Point]:
    """Points along a quadratic Bézier curve."""
    shares = [step / steps for step in range(steps + 1)]
    return [
        (
            (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * bend[0] + t * t * end[0],
            (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * bend[1] + t * t * end[1],
        )
        for t in shares
    ]


def houses(
    sheet: Sheet, chance: np.random.Generator, left: float, right: float, top: float
) -> None:
    """A row of houses down to the horizon, about as high as `top`, with roofs and chimneys."""
    x = left
    while x < right:
        wide = chance.uniform(0.018, 0.042)
        roof = HORIZON - top * chance.uniform(0.6, 1.0)
        sheet.box(x, roof, x + wide, HORIZON + 0.004)
        if chance.uniform() < 0.6:
            ridge = roof - chance.uniform(0.006, 0.014)
            sheet.shape([(x - 0.001, roof), (x + wide / 2, ridge), (x + wide + 0.001, roof)])
        pipe = x + wide * chance.uniform(0.2, 0.8)
        sheet.box(pipe, roof - 0.02, pipe + 0.003, roof)
        sheet.shape(
            [
                (pipe - 0.002, roof - 0.026),
                (pipe + 0.005, roof - 0.026),
                (pipe + 0.003, roof - 0.018),
                (pipe, roof - 0.018),
            ]
        )
        x += wide


def campanile(sheet: Sheet, x: float, foot: float, high: float) -> None:
    """A bell tower with its pointed roof."""
    half, top = high * 0.032, foot - high
    sheet.box(x - half, top + high * 0.22, x + half, foot)
    sheet.box(x - half * 1.25, top + high * 0.2, x + half * 1.25, top + high * 0.225)
    sheet.box(x - half * 0.85, top + high * 0.14, x + half * 0.85, top + high * 0.2)
    sheet.shape(
        [
            (x - half * 0.95, top + high * 0.14),
            (x, top - 0.004),
            (x + half * 0.95, top + high * 0.14),
        ]
    )


def dome(sheet: Sheet, x: float, foot: float, wide: float) -> None:
    """A church's dome on its drum, with a lantern."""
    high = wide * 16 / 9
    rim = foot - high * 0.9
    sheet.box(x - wide * 1.25, foot - high * 0.55, x + wide * 1.25, HORIZON + 0.004)
    sheet.box(x - wide * 0.95, rim, x + wide * 0.95, foot)
    sheet.oval((x, rim), wide, high)
    sheet.box(x - wide * 0.13, rim - high * 1.25, x + wide * 0.13, rim - high * 0.9)
    sheet.oval((x, rim - high * 1.25), wide * 0.15, high * 0.16)
    sheet.box(x - wide * 0.02, rim - high * 1.62, x + wide * 0.02, rim - high * 1.3)


def far_shore(chance: np.random.Generator) -> Picture:
    """The city across the water."""
    sheet = Sheet()
    houses(sheet, chance, -0.01, 0.60, 0.045)
    houses(sheet, chance, 0.74, 1.02, 0.04)
    dome(sheet, 0.445, HORIZON - 0.02, 0.026)
    dome(sheet, 0.497, HORIZON - 0.02, 0.015)
    campanile(sheet, 0.385, HORIZON, 0.2)
    campanile(sheet, 0.86, HORIZON, 0.15)
    return sheet.ink()


def yard(chance: np.random.Generator) -> tuple[Picture, Picture]:
    """The squero on the left bank, and its lit windows."""
    sheet, lights = Sheet(), Sheet()
    sheet.shape([(0, 0.6), (0, 0.575), (0.3, 0.575), (0.345, 0.6)])
    sheet.box(0.0, 0.345, 0.095, 0.6)
    sheet.shape([(-0.01, 0.35), (0.04, 0.318), (0.103, 0.35)])
    sheet.box(0.018, 0.295, 0.028, 0.34)
    sheet.box(0.095, 0.455, 0.215, 0.6)
    sheet.shape([(0.085, 0.462), (0.155, 0.392), (0.226, 0.462)])
    sheet.box(0.215, 0.5, 0.278, 0.6)
    sheet.shape([(0.213, 0.503), (0.213, 0.478), (0.29, 0.508)])
    for column in range(3):
        for row in range(2):
            if chance.uniform() < 0.75:
                x, y = 0.015 + 0.027 * column, 0.385 + 0.07 * row
                lights.box(x, y, x + 0.011, y + 0.032, round(chance.uniform(110, 255)))
    for x in (0.112, 0.146, 0.18):
        lights.box(x, 0.5, x + 0.018, 0.545, round(chance.uniform(120, 230)))
    lights.box(0.236, 0.53, 0.256, 0.575, 200)
    return sheet.ink(), lights.ink()


def gondola(x: float, y: float, size: float) -> Picture:
    """A gondola that floats at y, its iron to the right, with its gondolier."""
    sheet = Sheet()

    def place(points: Sequence[Point]) -> list[Point]:
        return [(x + px * size, y + py * size * 16 / 9) for px, py in points]

    keel = curve((-0.5, -0.1), (-0.02, 0.1), (0.47, -0.06))
    rail = curve((0.47, -0.085), (0.02, 0.015), (-0.5, -0.13))
    sheet.shape(place(keel + rail))
    sheet.shape(place([(-0.5, -0.1), (-0.525, -0.165), (-0.5, -0.13)]))
    sheet.stroke(place(curve((-0.497, -0.11), (-0.53, -0.14), (-0.52, -0.175))), 0.005)
    sheet.shape(place([(0.452, -0.06), (0.478, -0.06), (0.482, -0.165), (0.468, -0.165)]))
    sheet.shape(place([*curve((0.463, -0.16), (0.5, -0.235), (0.535, -0.17)), (0.484, -0.155)]))
    for tooth in range(5):
        top = -0.15 + tooth * 0.018
        sheet.shape(place([(0.478, top), (0.512, top), (0.512, top + 0.009), (0.478, top + 0.009)]))
    sheet.shape(place([(-0.16, -0.045), (-0.13, -0.105), (-0.1, -0.035)]))
    sheet.shape(place([(0.0, -0.03), (0.03, -0.075), (0.05, -0.03)]))
    gondolier(sheet, place, size)
    return sheet.ink()


def gondolier(sheet: Sheet, place: Placing, size: float) -> None:
    """The one who rows, leaning on the oar at the stern."""
    thick = size * 16 / 9
    sheet.stroke(place([(-0.375, -0.07), (-0.362, -0.165), (-0.35, -0.17)]), 0.021 * thick)
    sheet.stroke(place([(-0.325, -0.07), (-0.345, -0.165)]), 0.021 * thick)
    sheet.shape(place([(-0.37, -0.155), (-0.335, -0.155), (-0.31, -0.25), (-0.352, -0.257)]))
    sheet.stroke(place([(-0.32, -0.243), (-0.29, -0.2), (-0.252, -0.205)]), 0.016 * thick)
    sheet.stroke(place([(-0.345, -0.245), (-0.31, -0.19), (-0.262, -0.197)]), 0.016 * thick)
    middle = place([(-0.322, -0.28)])[0]
    sheet.oval(middle, 0.0135 * size, 0.0165 * thick)
    brim = place([(-0.325, -0.294)])[0]
    sheet.oval(brim, 0.029 * size, 0.0048 * thick)
    crown = place([(-0.325, -0.303)])[0]
    sheet.oval(crown, 0.0145 * size, 0.011 * thick)
    sheet.stroke(place([(-0.235, -0.225), (-0.42, 0.115)]), 0.0085 * thick)
    sheet.stroke(place([(-0.393, 0.065), (-0.425, 0.125)]), 0.017 * thick)


def poles(places: Sequence[tuple[float, float, float]]) -> tuple[Picture, Picture]:
    """Mooring poles at (x, waterline, height), and their painted stripes."""
    sheet, stripes = Sheet(), Sheet()
    for x, foot, high in places:
        half = high * 0.0165
        sheet.box(x - half, foot - high, x + half, foot)
        sheet.oval((x, foot - high), half * 1.35, half * 1.9)
        turn = high * 0.1
        for step in range(4):
            top = foot - high * 0.93 + step * turn * 1.7
            stripes.shape(
                [
                    (x - half, top + turn * 0.6),
                    (x + half, top),
                    (x + half, top + turn * 0.7),
                    (x - half, top + turn * 1.3),
                ]
            )
    return sheet.ink(), stripes.ink()


class Water:
    """Ripples that break up whatever is mirrored, finer and calmer towards the horizon."""

    def __init__(self, chance: np.random.Generator) -> None:
        across, down = grid()
        self._across, self._down = across, down
        self.depth: Picture = np.clip((down - HORIZON) / np.float32(1 - HORIZON), 0, 1)
        far = 1 / (self.depth + 0.06)
        waves = noise(chance, 14, 170, 3)
        rows = np.clip((far.max() - far) / far.max(), 0, 1) * (HEIGHT - 1)
        columns = ((across - 0.5) * (0.35 + 0.65 * far / far.max() * 3) + 0.5) * (WIDTH - 1)
        where = columns.astype(np.float32), rows.astype(np.float32)
        self.ripple = cv2.remap(waves, *where, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)

    def mirror(self, picture: Picture, line: float) -> Picture:
        """What the water shows of a picture that stands on this line."""
        strength = 0.004 + 0.032 * self.depth
        x = (self._across + self.ripple * strength * 0.14) * (WIDTH - 1)
        y = (2 * line - self._down + self.ripple * strength) * (HEIGHT - 1)
        where = x.astype(np.float32), y.astype(np.float32)
        shown = cv2.remap(picture, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(shown, np.float32)


def glitter(water: Water) -> Picture:
    """The sun's path on the water."""
    across, _ = grid()
    spread = 0.022 + 0.1 * water.depth
    path = np.exp(-(((across - SUN[0]) / spread) ** 2))
    crests = np.clip(water.ripple * 2.2 - 0.3, 0, 1)
    shine: Picture = path * (0.16 + crests) * (1 - 0.5 * water.depth)
    return np.clip(shine, 0, 1)


def land(picture: Picture, chance: np.random.Generator) -> Picture:
    """The picture with the far city in the haze and the yard before it."""
    _, down = grid()
    haze = np.clip((HORIZON - down) / 0.2, 0, 1)[..., None]
    far: Picture = colour("#9a566c") + (colour("#5d3c68") - colour("#9a566c")) * haze
    picture = blend(picture, far, 0.92 * far_shore(chance))
    walls, lights = yard(chance)
    picture = blend(picture, colour("#21183a"), walls)
    glow = cv2.GaussianBlur(lights, (0, 0), 9)
    picture = blend(picture, colour("#ff9b45"), np.clip(0.55 * glow, 0, 1))
    return blend(picture, colour("#ffce7a"), lights * 0.95)


def paint() -> NDArray[np.uint8]:
    """The whole picture, as rows of RGB."""
    chance = np.random.default_rng(SEED)
    above = land(sky(chance), chance)
    water = Water(chance)
    deep: Picture = water.mirror(above, HORIZON) * colour("#e0c0b8")
    deep = blend(deep, colour("#151a3d"), 0.12 + 0.53 * water.depth)
    deep = blend(deep, colour("#ffd48a"), glitter(water))
    _, down = grid()
    picture = blend(above, deep, np.clip((down - HORIZON) * HEIGHT, 0, 1))
    for ink, line, stripes in afloat():
        shade = water.mirror(ink, line) * np.clip((down - line) * HEIGHT + 4, 0, 1)
        picture = blend(picture, colour("#141230"), 0.72 * shade)
        picture = blend(picture, colour("#120e26"), ink)
        picture = blend(picture, colour("#a8485a"), stripes)
    return finish(picture, chance)


def afloat() -> list[tuple[Picture, float, Picture]]:
    """What stands in the water, with its waterline and what is painted on it."""
    none = np.zeros((HEIGHT, WIDTH), np.float32)
    things = [(gondola(0.5, 0.735, 0.36), 0.729, none)]
    for pole in ((0.905, 0.8, 0.3), (0.948, 0.85, 0.4), (0.3, 0.63, 0.12), (0.325, 0.64, 0.1)):
        ink, stripes = poles([pole])
        things.append((ink, pole[1], stripes))
    return things


def finish(picture: Picture, chance: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with darker corners and a breath of grain, as bytes."""
    across, down = grid()
    corner = 1 - 0.55 * np.clip(np.hypot(across - 0.5, (down - 0.5) * 0.9) - 0.32, 0, 1)
    grain = chance.standard_normal((HEIGHT, WIDTH, 1), np.float32) * 0.008
    shown = picture * corner[..., None] + grain
    levels: NDArray[np.uint8] = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return levels


def main() -> None:
    """Write the picture to the file named, or beside this program."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".jpg")
    Image.fromarray(paint()).save(out, quality=86, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
