"""Trees: rows of firs and round crowns, and those beside which we stand."""

import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.scene.land import SNOW, lit
from squero.engines.motion.scene.layer import Canvas, Field, Layer, texture
from squero.engines.motion.scene.noise import Chance, clouded, line
from squero.engines.motion.scene.palette import Colour, Palette, mix
from squero.engines.motion.scene.sky import upright
from squero.engines.motion.scene.stage import Box, Stage

Ink = NDArray[np.uint8]


def wood(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    albedos: tuple[Colour, ...],
    *,
    foot: float,
    high: float,
    far: float,
    firs: float,
    thick: float = 1.0,
    clear: float = 0.0,
    snowy: bool = False,
) -> Layer:
    """A row of trees about so high on a line, a share of them firs; `clear` is the middle's gap."""
    depth = stage.depth(foot) - 0.04 * far
    seen = stage.reach(depth)
    canvas = Canvas(
        stage, Box(seen.left, seen.right, max(seen.top, foot - 1.35 * high), foot + 0.035)
    )
    ink, tone, hue = canvas.sheet(), canvas.sheet(), canvas.sheet()
    swell = line(chance, canvas.x, 1.4, 3)
    count = round((seen.right - seen.left) / high * 5.5 * thick)
    places = np.sort(chance.uniform(seen.left, seen.right, count))[chance.permutation(count)]
    for x in places:
        if abs(x) < clear * stage.aspect / 2 * chance.uniform(0.8, 1.15):
            continue
        column = min(canvas.width - 1, int((x - seen.left) * canvas.scale))
        tall = high * (0.72 + 0.2 * float(swell[column])) * chance.uniform(0.7, 1.15)
        level, kind = int(chance.integers(90, 256)), int(chance.integers(len(albedos)))
        grow = fir if chance.random() < firs else crown
        grow(canvas, (ink, tone, hue), chance, float(x), foot, tall, level, kind)
    cover = ink.astype(np.float32) / 255
    up = np.clip((foot - canvas.y) / high, 0, 1)
    grain = clouded(chance, ink.shape, (10, 90), 3) * 0.14
    light = np.clip((0.06 + 0.62 * up) * tone / np.float32(255) * 1.25 + grain * (0.3 + up), 0, 1)
    colour = np.take(np.stack(albedos), hue, axis=0)
    colours = lit(palette, colour, light.astype(np.float32))
    if snowy:
        cap = np.clip((tone.astype(np.float32) - 150) / 90 + 1.5 * grain, 0, 1) * (0.25 + 0.5 * up)
        colours += (lit(palette, SNOW, light) - colours) * cap[..., None]
    mist = np.clip(far + (1 - far) * 0.3 * (1 - up), 0, 1)
    colours += (palette.haze - colours) * mist[..., None].astype(np.float32)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth))


Sheets = tuple[Ink, Ink, Ink]
_ANGLES = np.linspace(0, 2 * np.pi, 11, endpoint=False)
ROUND = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def fir(
    canvas: Canvas,
    sheets: Sheets,
    chance: Chance,
    x: float,
    foot: float,
    tall: float,
    level: int,
    kind: int,
) -> None:
    """A fir: ragged skirts, each wider than the one above, lighter on one side."""
    skirts = 9 if tall * canvas.scale > 60 else 5
    wide = tall * chance.uniform(0.15, 0.22)
    for number in range(skirts, -1, -1):
        share = (number + 0.35) / (skirts + 0.35)
        top = foot - tall + tall * 0.93 * max(0.0, share - 1.7 / skirts)
        low = foot - tall + tall * 0.96 * share
        left, right = (wide * share * chance.uniform(0.75, 1.15) for _ in range(2))
        sag = 0.25 * tall / skirts
        shape = [
            [x, top],
            [x + 0.45 * right, low - 1.1 * sag],
            [x + right, low + 0.4 * sag],
            [x + 0.5 * right, low - 0.15 * sag],
            [x, low + 0.2 * sag],
            [x - 0.5 * left, low - 0.15 * sag],
            [x - left, low + 0.4 * sag],
            [x - 0.45 * left, low - 1.1 * sag],
        ]
        points = np.array(shape, np.float32)
        shade = level * (0.72 + 0.28 * (number % 2))
        stamp(canvas, sheets, points, int(shade), kind)
        half = points[[0, 4, 5, 6, 7]]
        canvas.fill(sheets[1], half, int(shade * 0.6))


def crown(
    canvas: Canvas,
    sheets: Sheets,
    chance: Chance,
    x: float,
    foot: float,
    tall: float,
    level: int,
    kind: int,
) -> None:
    """A tree with a round crown: a trunk and heaps of leaves, lighter above."""
    half = 0.018 * tall
    trunk = [
        [x - half, foot + 0.01],
        [x - 0.6 * half, foot - 0.5 * tall],
        [x + 0.6 * half, foot - 0.5 * tall],
        [x + half, foot + 0.01],
    ]
    stamp(canvas, sheets, np.array(trunk, np.float32), 40, kind)
    count = 34 if tall * canvas.scale > 60 else 12
    turn = chance.uniform(0, 2 * np.pi, count)
    away = np.sqrt(chance.random(count))
    heaps_x = x + 0.27 * tall * away * np.cos(turn)
    heaps_y = foot - 0.62 * tall + 0.31 * tall * away * np.sin(turn)
    order = np.argsort(-heaps_y)
    up = (foot - 0.3 * tall - heaps_y) / (0.65 * tall)
    shades = np.clip(level * (0.4 + 0.65 * up) * chance.uniform(0.8, 1.1, count), 20, 255)
    wobble = tall * chance.uniform(0.06, 0.12, (count, 1)) * chance.uniform(0.7, 1.2, (count, 11))
    shape = np.stack(
        [heaps_x[:, None] + wobble * ROUND[0], heaps_y[:, None] + wobble * ROUND[1]], 2
    )
    for points, shade in zip(canvas.points(shape)[order], shades[order].tolist(), strict=True):
        _stamp(sheets, points, int(shade), kind)


def stamp(canvas: Canvas, sheets: Sheets, shape: Field, level: int, kind: int) -> None:
    """Fill a shape on all sheets: its ink, its tone, and which colour it has."""
    _stamp(sheets, canvas.points(shape), level, kind)


def _stamp(sheets: Sheets, points: NDArray[np.int32], level: int, kind: int) -> None:
    ink, tone, hue = sheets
    cv2.fillPoly(ink, [points], (255,), cv2.LINE_AA, 4)
    cv2.fillPoly(tone, [points], (level,), cv2.LINE_AA, 4)
    cv2.fillPoly(hue, [points], (kind,), cv2.LINE_8, 4)


def boughs(stage: Stage, chance: Chance, palette: Palette, albedos: tuple[Colour, ...]) -> Layer:
    """Leaves that hang into the frame from above, on the side where we stand."""
    depth = 1.6
    seen = stage.reach(depth)
    canvas = Canvas(stage, Box(seen.left, seen.right, seen.top, 0.36))
    ink, tone, hue = canvas.sheet(), canvas.sheet(), canvas.sheet()
    for _ in range(round(420 * stage.aspect / 1.78)):
        side = chance.choice([-1, 1], p=[0.65, 0.35])
        x = side * (stage.aspect / 2 + 0.12 - abs(chance.normal(0, 0.2)))
        y = seen.top + abs(chance.normal(0, 0.11)) + 0.0
        long = chance.uniform(0.014, 0.032)
        turn = chance.uniform(0.6, 2.4)
        c, s = np.cos(turn), np.sin(turn)
        leaf = (
            np.array([[-1, 0], [-0.3, 0.32], [0.4, 0.26], [1, 0], [0.4, -0.26], [-0.3, -0.32]])
            * long
        )
        shape = np.stack(
            [x + leaf[:, 0] * c - leaf[:, 1] * s, y + leaf[:, 0] * s + leaf[:, 1] * c], 1
        )
        stamp(
            canvas,
            (ink, tone, hue),
            shape.astype(np.float32),
            int(chance.integers(60, 256)),
            int(chance.integers(len(albedos))),
        )
    cover = ink.astype(np.float32) / 255
    colours = lit(palette, np.take(np.stack(albedos), hue, axis=0), (tone / np.float32(255)) * 0.55)
    colours = mix(colours, palette.shade * 0.3, 0.35)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth))
