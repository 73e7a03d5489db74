"""What people build: skylines with lit windows, a street, and lights that come and go."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.planes import MATRIX, Planes
from squero.engines.motion.scene.layer import Canvas, Field, Layer, texture
from squero.engines.motion.scene.noise import Chance, smooth
from squero.engines.motion.scene.palette import Palette, mix, rgb
from squero.engines.motion.scene.sky import upright
from squero.engines.motion.scene.stage import Box, Pose, Stage

WALLS = tuple(rgb(code) for code in ("#8a8f9c", "#a09488", "#6f7c8e", "#97a2aa", "#7d6f6a"))


@dataclass(slots=True)
class Facade:
    """A canvas that is being built on: its colours, cover, and the lamps that flicker."""

    canvas: Canvas
    colours: Field
    cover: Field
    lamps: list[tuple[float, float, float, float]]


def skyline(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    *,
    foot: float,
    high: float,
    far: float,
    wide: float = 0.075,
    sun_x: float = 0.5,
    spread: float = 0.0,
    signs: bool = False,
) -> "list[Layer | Lamps]":
    """A row of buildings about `high` and `wide`, hazy by `far`; tallest in the middle.

    `spread` leaves the middle free, as a street does.
    """
    depth = stage.depth(foot) - 0.05 * far
    seen = stage.reach(depth)
    canvas = Canvas(
        stage, Box(seen.left, seen.right, max(seen.top, foot - 1.9 * high), foot + 0.03)
    )
    facade = Facade(canvas, canvas.colour(palette.shade * 0.5), canvas.blank(), [])
    x = canvas.box.left - wide
    while x < canvas.box.right:
        across = wide * chance.uniform(0.55, 1.25)
        centre = abs(x + across / 2) / (0.5 * stage.aspect)
        rise = 0.5 + 0.75 * np.exp(-((centre * 1.5) ** 2)) if not spread else 0.75 + 0.5 * centre
        tall = high * rise * chance.uniform(0.45, 1.0) ** 0.8
        if not spread or abs(x + across / 2) - across / 2 > spread:
            building(facade, chance, palette, x, x + across, foot - tall, far, sun_x, signs)
        x += across * chance.uniform(0.85, 1.15 if high > 0.25 else 1.02)
    low = np.clip(1 - (foot - canvas.y) / (0.6 * high), 0, 1)
    mist = far + (1 - far) * 0.35 * low
    # Lit windows shine through what hides the walls.
    shining = smooth(facade.colours.max(axis=2), 0.35, 0.7) if palette.dark else canvas.blank()
    share = 0.75 * mist * (1 - 0.65 * shining)
    facade.colours += (palette.haze - facade.colours) * share[..., None].astype(np.float32)
    if palette.dark:
        lamp = rgb(palette.lamps[0]) * np.float32(0.3 * (1 - 0.5 * far))
        facade.colours += lamp * (low**2)[..., None].astype(np.float32)
    drawn = texture(np.clip(facade.colours, 0, 1), facade.cover)
    layers: list[Layer | Lamps] = [Layer(canvas, drawn, upright(stage, depth))]
    if palette.dark and facade.lamps:
        layers.append(Lamps(stage, chance, palette, facade.lamps, depth))
    return layers


def building(
    facade: Facade,
    chance: Chance,
    palette: Palette,
    left: float,
    right: float,
    top: float,
    far: float,
    sun_x: float,
    signs: bool,
) -> None:
    """Put up one building: a body, perhaps a narrower storey on top, a roof's things, windows."""
    wide = right - left
    wall = WALLS[int(chance.integers(len(WALLS)))] * np.float32(chance.uniform(0.55, 0.95))
    style = float(chance.random())
    parts = [(left, right, top)]
    if style < 0.45:
        inset = wide * chance.uniform(0.14, 0.28)
        step = chance.uniform(0.12, 0.3) * (facade.canvas.box.bottom - top)
        parts = [(left + inset, right - inset, top), (left, right, top + step)]
    crown = (parts[0][0] + parts[0][1]) / 2
    if style < 0.2:
        spire(facade, palette, crown, top, wide * chance.uniform(0.35, 0.9))
    elif chance.random() < 0.4:
        box = wide * chance.uniform(0.12, 0.3)
        at = chance.uniform(parts[0][0], parts[0][1] - box)
        paint(facade, at, at + box, top - 0.4 * box, top + 0.01, lit_wall(palette, wall, 0.2))
    grid = (chance.uniform(0.011, 0.016), chance.uniform(0.014, 0.02))
    share = chance.uniform(0.18, 0.55) if palette.dark else 0.0
    tint = palette.lamps[int(chance.integers(len(palette.lamps)))]
    for a, b, head in parts:
        shade = 0.42 + 0.35 * chance.random()
        paint(facade, a, b, head, facade.canvas.box.bottom, lit_wall(palette, wall, shade), sun_x)
        windows(facade, chance, palette, (a, b, head), grid, share, tint)
    if signs and wide > 0.05 and chance.random() < 0.75:
        sign(facade, chance, palette, left, right, top)


def lit_wall(palette: Palette, wall: Field, light: float) -> Field:
    """A wall on which so much light falls."""
    dim = 0.55 if palette.dark else 0.85
    shown: Field = (wall * (palette.shade + palette.light * light * 0.8) * dim).astype(np.float32)
    return shown


def paint(
    facade: Facade,
    left: float,
    right: float,
    top: float,
    bottom: float,
    colour: Field,
    sun_x: float | None = None,
) -> None:
    """Fill a rectangle; a side face turns away from the sun, and the foot is darker."""
    rows, columns = span(facade, left, right, top, bottom)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    facade.cover[rows, columns] = 1
    part = facade.colours[rows, columns]
    part[:] = colour
    height, width = part.shape[:2]
    part *= np.linspace(1.12, 0.72, height, dtype=np.float32)[:, None, None]
    if sun_x is not None:
        side = round(width * 0.3)
        face = part[:, :side] if sun_x > 0 else part[:, width - side :]
        face *= np.float32(0.62)
        edge = part[:, -1:] if sun_x > 0 else part[:, :1]
        edge *= np.float32(1.35)


def span(
    facade: Facade, left: float, right: float, top: float, bottom: float
) -> tuple[slice, slice]:
    """The rows and columns of a rectangle."""
    canvas = facade.canvas
    edges = np.array([top - canvas.box.top, bottom - canvas.box.top, left - canvas.box.left])
    first, last, start = (int(edge) for edge in np.rint(edges * canvas.scale))
    stop = round((right - canvas.box.left) * canvas.scale)
    return (
        slice(max(0, first), max(0, min(canvas.height, last))),
        slice(max(0, start), max(0, min(canvas.width, stop))),
    )


def spire(facade: Facade, palette: Palette, x: float, top: float, high: float) -> None:
    """A tapering mast with a lamp at its tip."""
    sheet = facade.canvas.sheet()
    for half, tall in ((0.006, 0.45), (0.0014, 1.0)):
        shape = np.array([[x - half, top + 0.002], [x, top - high * tall], [x + half, top + 0.002]])
        facade.canvas.fill(sheet, shape.astype(np.float32))
    ink = sheet.astype(np.float32) / 255
    facade.cover[:] = np.maximum(facade.cover, ink)
    if palette.dark:
        facade.lamps.append((x, top - high, 0.0022, -1.0))


def windows(
    facade: Facade,
    chance: Chance,
    palette: Palette,
    body: tuple[float, float, float],
    grid: tuple[float, float],
    share: float,
    tint: str,
) -> None:
    """A grid of windows on a body: some are lit, the others mirror the sky."""
    left, right, top = body
    canvas = facade.canvas
    wide, tall = (max(cell, 4.5 / canvas.scale) for cell in grid)
    columns = int((right - left - 0.006) / wide)
    rows = int((canvas.box.bottom - top - 0.012) / tall)
    if columns < 1 or rows < 1:
        return
    start = left + (right - left - columns * wide) / 2
    office = chance.random(rows) < 0.12
    lit = chance.random((rows, columns)) < np.where(office, 0.85, share)[:, None]
    level = chance.uniform(0.45, 1.1, (rows, columns))
    glass = mix(palette.sky[2], palette.haze, 0.3) * (0.3 if palette.dark else 0.6)
    warm = rgb(tint)
    flicker = chance.random((rows, columns)) < 0.012
    for row, column in zip(*np.nonzero(lit | (not palette.dark)), strict=True):
        a, b = start + (column + 0.18) * wide, top + 0.01 + (row + 0.2) * tall
        pane = span(facade, a, a + 0.64 * wide, b, b + 0.58 * tall)
        shown = (
            warm * level[row, column]
            if lit[row, column]
            else glass * (0.75 + 0.3 * level[row, column])
        )
        facade.colours[pane] = facade.colours[pane] * np.float32(0.2) + shown * np.float32(0.8)
        if lit[row, column] and flicker[row, column]:
            facade.lamps.append((a + 0.32 * wide, b + 0.29 * tall, 0.32 * wide, 0.29 * tall))


def sign(
    facade: Facade, chance: Chance, palette: Palette, left: float, right: float, top: float
) -> None:
    """A glowing sign down the wall, with bars that might be letters."""
    canvas = facade.canvas
    size = max(1.0, (right - left) / 0.085)
    tall = chance.uniform(0.12, 0.26) * size**0.6
    x = chance.uniform(left + 0.008, max(left + 0.01, right - 0.034 * size))
    y = top + chance.uniform(0.04, max(0.05, 0.5 * (canvas.box.bottom - top) - tall))
    colour = rgb(palette.lamps[int(chance.integers(len(palette.lamps)))])
    wide = chance.uniform(0.018, 0.034) * size
    paint(facade, x, x + wide, y, y + tall, colour * np.float32(0.18))
    step = wide * 0.95
    for number in range(int(tall / step)):
        head = y + (number + 0.15) * step
        for _ in range(3):
            a, b = chance.uniform(0.12, 0.5), chance.uniform(0.0, 0.35)
            bar = chance.random() < 0.5
            w, h = (0.42, 0.12) if bar else (0.12, 0.4)
            pane = span(
                facade, x + a * wide, x + (a + w) * wide, head + b * step, head + (b + h) * step
            )
            facade.colours[pane] = mix(colour, np.ones(3, np.float32), 0.35)
    around = span(facade, x - 0.05, x + wide + 0.05, y - 0.05, y + tall + 0.05)
    part = facade.colours[around]
    if not part.size:
        return
    bright = np.clip(part.max(axis=2) - 0.5, 0, 1) * 2
    glow = cv2.GaussianBlur(bright, (0, 0), 0.018 * canvas.scale)
    part += glow[..., None] * colour * np.float32(0.9)


class Lamps:
    """Windows in which somebody switches the light on and off, and lamps on masts that blink."""

    def __init__(
        self,
        stage: Stage,
        chance: Chance,
        palette: Palette,
        lamps: list[tuple[float, float, float, float]],
        depth: float,
    ) -> None:
        chosen = chance.permutation(len(lamps))[:48]
        self._lamps: NDArray[np.float64] = np.array([lamps[index] for index in chosen])
        self._phase = chance.uniform(0, 2 * np.pi, len(chosen))
        self._stage, self._depth = stage, depth
        ink = MATRIX[:, :3] @ (255 * mix(rgb("#fff0c8"), palette.haze, 0.2)) + MATRIX[:, 3]
        self._ink = ink.tolist()
        self._red = (MATRIX[:, :3] @ (255 * rgb("#ff4030")) + MATRIX[:, 3]).tolist()

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw those that are lit now."""
        matrix = self._stage.matrix(pose, self._depth)
        zoom = matrix[0, 0]
        for (x, y, wide, tall), phase in zip(
            self._lamps.tolist(), self._phase.tolist(), strict=True
        ):
            mast = tall < 0
            if np.sin((2.6 if mast else 0.9) * pose.seconds + phase) < (0.1 if mast else 0):
                continue
            px, py = matrix[0, 0] * x + matrix[0, 2], matrix[1, 1] * y + matrix[1, 2]
            half = (wide * zoom, (wide if mast else tall) * zoom)
            for plane, level, shrink in zip(
                (frame.y, frame.u, frame.v),
                self._red if mast else self._ink,
                (1, 2, 2),
                strict=True,
            ):
                a, b = round((px - half[0]) / shrink), round((py - half[1]) / shrink)
                c, d = round((px + half[0]) / shrink), round((py + half[1]) / shrink)
                if 0 <= a < plane.shape[1] and 0 <= b < plane.shape[0]:
                    plane[b : max(b + 1, d), a : max(a + 1, c)] = round(level)
