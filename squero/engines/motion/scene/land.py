"""What the ground rises to and what it is covered with: ridges, dunes, plains, grass, rocks."""

import cv2
import numpy as np

from squero.engines.motion.planes import Plane
from squero.engines.motion.scene.layer import Canvas, Field, Layer, Placing, texture
from squero.engines.motion.scene.noise import Chance, clouded, line, sampled, smooth
from squero.engines.motion.scene.palette import Colour, Palette, rgb
from squero.engines.motion.scene.sky import upright
from squero.engines.motion.scene.stage import Box, Matrix, Pose, Stage

ROCK, WOOD, GRASS, SAND, SNOW = (
    rgb(code) for code in ("#8d8680", "#41583a", "#7d9a48", "#e3b274", "#f2f6fb")
)


def lit(palette: Palette, albedo: Colour | Field, light: Field) -> Field:
    """What is seen of a surface on which so much of the light falls, 0 to 1."""
    shown: Field = albedo * (palette.shade + palette.light * light[..., None])
    return shown.astype(np.float32)


def ridge(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    *,
    foot: float,
    high: float,
    cells: float,
    albedo: Colour,
    far: float,
    sun_x: float,
    snow: float = 0.0,
    rough: float = 0.5,
    deep: float = 0.05,
    base: float | None = None,
) -> Layer:
    """Mountains or hills: `high` above `base` (the horizon), faded by `far` into the haze.

    Snow lies above the share of the height that `snow` leaves free.
    """
    depth = stage.depth(foot) - 0.06 * far
    seen = stage.reach(depth)
    base = stage.horizon if base is None else base
    canvas = Canvas(stage, Box(seen.left, seen.right, base - 2.2 * high, foot + deep))
    crest = base - high * (
        0.62 + 0.42 * line(chance, canvas.x, cells, 9 if rough > 0.4 else 5, rough)
    )
    below = canvas.y - crest
    cover = np.clip(below * canvas.scale + 0.5, 0, 1)
    # Gullies run down from the crest, so the relief hangs from it; light falls on one side of it.
    relief = clouded(chance, (256, 1024), (3, cells * 6), 6)
    across = (canvas.x - seen.left) / (seen.right - seen.left)
    lean = 0.5 * line(chance, canvas.x, cells * 2, 4) * high
    down = np.clip(below / (2.6 * high), 0, 1)
    aspect = sampled(relief, across + lean * down, down)
    side = sampled(relief, across + lean * down + 0.006, down + 0.004)
    turn = 1.0 if sun_x > 0 else -1.0
    light = smooth((side - aspect) * turn, -0.22, 0.3) * np.float32(0.85)
    colours = lit(palette, albedo * (0.9 + 0.16 * aspect[..., None]), light)
    if snow:
        cap = smooth(-below / high + 0.3 * aspect + 0.9 - snow, 0.3, 0.5)
        cap *= 0.55 + 0.45 * light
        colours += (lit(palette, SNOW, light) - colours) * cap[..., None]
    mist = np.clip(
        far
        + (1 - far)
        * (0.5 if base <= stage.horizon else 0.0)
        * smooth(canvas.y, base - 0.8 * high, foot),
        0,
        1,
    )
    colours += (palette.haze - colours) * mist[..., None].astype(np.float32)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth))


def plain(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    albedo: Colour,
    *,
    bumps: float = 0.5,
    second: Colour | None = None,
    sun_x: float = 0.0,
) -> Layer:
    """Flat ground to our feet: patches and bumps in perspective, hazy far away."""
    seen = stage.reach(None)
    canvas = Canvas(stage, Box(seen.left, seen.right, stage.horizon, seen.bottom))
    nearness = np.clip((canvas.y - stage.horizon) / (1 - stage.horizon), 0, 2)
    away = 1 / (nearness + 0.09)
    x = 0.5 + canvas.x * away * 0.09
    y = away / 11
    patch = sampled(clouded(chance, (768, 768), (26, 24), 6), x, y)
    relief_field = clouded(chance, (768, 768), (70, 80), 3)
    relief = sampled(relief_field, x, y)
    ahead = sampled(relief_field, x + 0.0016 * np.sign(sun_x - 1e-6), y - 0.0016)
    light = np.clip(0.5 + bumps * 1.1 * (ahead - relief) + 0.1 * patch, 0, 1)
    colour = albedo * np.ones((1, 1, 3), np.float32)
    if second is not None:
        colour = albedo + (second - albedo) * smooth(patch, -0.2, 0.7)[..., None]
    colours = lit(palette, colour * (0.9 + 0.14 * patch[..., None]), light.astype(np.float32))
    haze = 0.75 * np.exp(-nearness * 5.5)
    colours += (palette.haze - colours) * haze[..., None].astype(np.float32)
    colours *= (1.02 - 0.22 * np.clip(nearness, 0, 1))[..., None].astype(np.float32)
    return Layer(canvas, texture(np.clip(colours, 0, 1)), stage.plane)


def dune(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    *,
    foot: float,
    high: float,
    far: float,
    sun_x: float,
    albedo: Colour = SAND,
    deep: float = 0.3,
) -> Layer:
    """A dune whose knife edge winds down from its crest: one side in the light, one in shade."""
    depth = stage.depth(foot)
    seen = stage.reach(depth)
    bottom = min(foot + deep, max(seen.bottom, foot + 0.05))
    canvas = Canvas(stage, Box(seen.left, seen.right, foot - 2 * high, bottom))
    crest = foot - high * (0.55 + 0.62 * line(chance, canvas.x, 0.9, 3, 0.35))
    below = canvas.y - crest
    cover = np.clip(below * canvas.scale * 0.8 + 0.5, 0, 1)
    slope = np.gradient(crest) * canvas.scale
    wander = 0.05 * line(chance, (canvas.y[:, 0] * 1).astype(np.float32), 3, 3)[:, None]
    # The edge leaves the crest and runs down towards us: what lies beyond it is in shade.
    turn = 1.0 if sun_x > 0 else -1.0
    edge = cv2.GaussianBlur((slope * turn)[None].astype(np.float32), (0, 0), 0.05 * canvas.scale)
    face = smooth(edge * 1.6 - 2.6 * below / high * np.abs(edge) + 6 * wander, -0.14, 0.14)
    fall = np.exp(-below / (0.75 * high))
    light = 0.16 + 0.74 * face * (0.45 + 0.55 * fall) + 0.1 * fall
    near = (canvas.y - stage.horizon) / (1 - stage.horizon)
    wave = clouded(chance, (canvas.height, canvas.width), (6, 5), 4)
    rows = 26 / (0.25 + np.clip(near, 0, 2))
    ripples = np.sin((below + 0.05 * wave + 0.12 * canvas.x * turn) * rows * 9)
    light += 0.055 * ripples * smooth(near, 0.12, 0.6) * (0.4 + 0.6 * face)
    light += 0.05 * wave
    colours = lit(palette, albedo, np.clip(light, 0, 1.1).astype(np.float32))
    mist = np.clip(far + 0.25 * (1 - far) * smooth(below, 0.4 * high, 1.8 * high), 0, 1)
    colours += (palette.haze - colours) * mist[..., None].astype(np.float32)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth))


def grass(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    albedo: Colour,
    *,
    high: float = 0.16,
    thick: float = 1.0,
    flowers: tuple[Colour, ...] = (),
    gust: float = 1.0,
) -> list[Layer]:
    """Blades at our feet that sway, in two rows; perhaps with flowers among them."""
    rows = []
    for depth, foot, tall, dim in ((1.2, 1.0, 1.0, 0.85), (1.5, 1.05, 1.35, 0.5)):
        seen = stage.reach(depth)
        bottom = max(foot, min(seen.bottom, foot + 0.15))
        canvas = Canvas(stage, Box(seen.left, seen.right, foot - 1.7 * high * tall, bottom))
        ink, tone, heads = _blades(canvas, chance, foot, high * tall, thick, bool(flowers))
        cover = ink.astype(np.float32) / 255
        up = np.clip((foot - canvas.y) / (1.5 * high * tall), 0, 1)
        light = (0.1 + 0.75 * up) * (0.45 + 0.55 * tone.astype(np.float32) / 255)
        colours = lit(palette, albedo * np.float32(dim), light.astype(np.float32))
        for number, petal in enumerate(flowers):
            share = (heads == number + 1).astype(np.float32)[..., None]
            colours += (lit(palette, petal * dim, np.full_like(cover, 0.7)) - colours) * share
        rows.append(
            Layer(canvas, texture(np.clip(colours, 0, 1), cover), _swaying(stage, depth, gust))
        )
    return rows


def _swaying(stage: Stage, depth: float, gust: float) -> Placing:
    def place(pose: Pose) -> Matrix:
        lean = 0.05 * np.sin(1.7 * pose.seconds + depth) + 0.025 * np.sin(4.1 * pose.seconds)
        return stage.matrix(pose, depth, 0.0, gust * lean)

    return place


def _blades(
    canvas: Canvas, chance: Chance, foot: float, high: float, thick: float, heads: bool
) -> tuple[Plane, Plane, Plane]:
    """The blades' ink, how bright each is, and which flower (from 1) is where."""
    ink, tone, flowers = canvas.sheet(), canvas.sheet(), canvas.sheet()
    span = canvas.box.right - canvas.box.left
    steps = np.linspace(0, 1, 6)
    clumps = np.clip(0.75 + 0.4 * line(chance, canvas.x, 2.5, 4), 0.25, 1.4)
    for _ in range(round(420 * span * thick)):
        x = chance.uniform(canvas.box.left, canvas.box.right)
        column = int((x - canvas.box.left) * canvas.scale) % canvas.width
        tall = high * chance.uniform(0.35, 1.0) * clumps[column]
        bend = tall * chance.normal(0.12, 0.32)
        half = 0.0028 * chance.uniform(0.7, 1.3) * (1 - steps * 0.85)
        middle = x + bend * steps**2
        rows = canvas.box.bottom - (canvas.box.bottom - foot + tall) * steps
        left = np.stack([middle - half, rows], 1)
        right = np.stack([middle + half, rows], 1)[::-1]
        shape = np.concatenate([left, right]).astype(np.float32)
        canvas.fill(ink, shape)
        canvas.fill(tone, shape, int(chance.integers(40, 256)))
        if heads and chance.random() < 0.22:
            spot = canvas.points(np.array([[middle[-1], rows[-1]]], np.float32))[0]
            size = round(chance.uniform(0.005, 0.0095) * canvas.scale * 16)
            kind = int(chance.integers(1, 4))
            for sheet, level in ((ink, 255), (flowers, kind)):
                kindly = cv2.LINE_AA if sheet is ink else cv2.LINE_8
                cv2.circle(sheet, (int(spot[0]), int(spot[1])), size, (level,), -1, kindly, 4)
    return ink, tone, flowers


def rocks(stage: Stage, chance: Chance, palette: Palette, albedo: Colour, sun_x: float) -> Layer:
    """Boulders at our feet, in two heaps at the sides."""
    depth, foot = 1.25, 1.02
    seen = stage.reach(depth)
    canvas = Canvas(stage, Box(seen.left, seen.right, 0.74, max(foot, seen.bottom)))
    side = np.abs(canvas.x) / (stage.aspect / 2)
    crest = 0.985 - 0.17 * smooth(side + 0.2 * line(chance, canvas.x, 0.8, 2), 0.35, 1.2)
    crest = crest - 0.03 * np.abs(line(chance, canvas.x, 4, 6, 0.55))
    below = canvas.y - crest
    cover = np.clip(below * canvas.scale + 0.5, 0, 1)
    relief = clouded(chance, (canvas.height, canvas.width), (4, 16), 6)
    turn = 3 if sun_x > 0 else -3
    light = smooth(
        np.roll(relief, -turn, 1) - relief + 0.5 * (np.roll(relief, 4, 0) - relief), -0.3, 0.4
    )
    light = light * (0.35 + 0.65 * np.exp(-below * 14))
    colours = lit(palette, albedo * (0.62 + 0.12 * relief[..., None]), light * np.float32(0.8))
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth))


def banks(
    stage: Stage, chance: Chance, palette: Palette, albedo: Colour, sun_x: float
) -> list[Layer]:
    """Drifts of snow or sand at our feet, one before the other."""
    return [
        dune(stage, chance, palette, foot=foot, high=high, far=far, sun_x=sun_x, albedo=albedo)
        for foot, high, far in ((0.88, 0.09, 0.12), (1.0, 0.13, 0.0))
    ]
