"""What is overhead: the sky, sun or moon, stars, clouds, northern lights, a planet."""

import cv2
import numpy as np

from squero.engines.motion.planes import Planes
from squero.engines.motion.scene.layer import (
    Canvas,
    Field,
    Layer,
    Placing,
    frame_part,
    texture,
    visible,
)
from squero.engines.motion.scene.noise import Chance, clouded, sampled, smooth
from squero.engines.motion.scene.palette import Palette, mix, rgb
from squero.engines.motion.scene.stage import SKY, Box, Matrix, Pose, Stage
from squero.engines.motion.scene.words import Setting

COARSE = 0.5
"""Texels to a pixel for what is soft: nobody sees the difference."""
STOPS = np.array([0.0, 0.45, 0.8, 1.0])


def upright(stage: Stage, depth: float, speed: float = 0.0) -> Placing:
    """The placing of what stands at a depth and drifts so fast, in heights a second."""

    def place(pose: Pose) -> Matrix:
        return stage.matrix(pose, depth, speed * (pose.seconds - stage.seconds / 2))

    return place


def gradient(canvas: Canvas, palette: Palette, horizon: float) -> Field:
    """The bare sky, row by row."""
    height = np.clip(canvas.y[:, 0] / horizon, 0, 1)
    rows = np.stack([np.interp(height, STOPS, palette.sky[:, i]) for i in range(3)], axis=1)
    return np.repeat(rows[:, None, :].astype(np.float32), canvas.width, axis=1)


def heavens(stage: Stage, chance: Chance, setting: Setting, palette: Palette, sun: Field) -> Layer:
    """The sky behind everything, glowing around the sun at (x, y, radius)."""
    box = stage.reach(SKY)
    bottom = min(box.bottom, stage.horizon + 0.08)
    canvas = Canvas(stage, Box(box.left, box.right, box.top, bottom), COARSE)
    colours = gradient(canvas, palette, stage.horizon)
    away = np.hypot((canvas.x - sun[0]) * 0.8, canvas.y - sun[1])
    near = np.exp(-away / (0.1 + 1.2 * sun[2])) * 0.55 + np.exp(-away * 2.6) * 0.4
    strength = 0.25 if setting.has("storm", "rain", "fog") else 0.55 if palette.dark else 1.0
    colours += (palette.glow - colours) * (near * np.float32(strength))[..., None]
    wisps = sampled(
        clouded(chance, (256, 512), (5, 3)),
        (canvas.x / stage.aspect * 0.5 + 0.5),
        np.sqrt(np.clip(canvas.y / stage.horizon, 0, 1)),
    )
    veil = smooth(wisps, 0.1, 1.1) * np.float32(0.22)
    veil = veil * np.clip(1.3 - canvas.y / stage.horizon, 0, 1)
    colours += (palette.sky[3] - colours) * veil[..., None].astype(np.float32)
    if setting.has("space") or (setting.hour == "night" and setting.has("stars")):
        _milky(canvas, chance, colours, setting)
    return Layer(canvas, texture(np.clip(colours, 0, 1)), upright(stage, SKY))


def _milky(canvas: Canvas, chance: Chance, colours: Field, setting: Setting) -> None:
    """Lay a glowing band of dust across the sky, in place."""
    cosmic = setting.has("space")
    dust = clouded(chance, (canvas.height, canvas.width), (4, 6))
    lanes = clouded(chance, (canvas.height, canvas.width), (5, 9))
    slant = canvas.y - 0.42 + 0.5 * canvas.x + 0.09 * dust
    band = np.exp(-((slant / 0.17) ** 2)) * np.clip(0.65 + 0.6 * dust, 0, 2)
    band *= 1 - 0.75 * smooth(lanes, 0.1, 0.9) * np.exp(-((slant / 0.07) ** 2))
    warm, cold = rgb("#c890c0" if cosmic else "#8f93c8"), rgb("#5a8cf0" if cosmic else "#5878b8")
    hue = smooth(clouded(chance, (canvas.height, canvas.width), (2, 3), 3), -0.6, 0.6)[..., None]
    strength = 0.75 if cosmic else 0.42
    colours += (band[..., None] * (warm * hue + cold * (1 - hue))).astype(np.float32) * strength


class Stars:
    """Stars that twinkle: four groups of them, each with a pulse of its own."""

    def __init__(self, stage: Stage, chance: Chance, much: float) -> None:
        box = stage.reach(SKY)
        self._box = Box(box.left, box.right, box.top, stage.horizon + 0.05)
        canvas = Canvas(stage, self._box)
        count = round(1100 * much * stage.aspect)
        sheet = np.zeros((canvas.height, canvas.width, 4), np.float32)
        x, y = (
            chance.integers(1, canvas.width - 1, count),
            chance.integers(1, canvas.height - 1, count),
        )
        bright = np.minimum(90 + 60 / (chance.random(count) + 0.02), 2600)
        fade = np.clip(1.15 - canvas.y[y, 0] / stage.horizon, 0, 1)
        sheet[y, x, chance.integers(0, 4, count)] = bright * fade
        soft = cv2.GaussianBlur(sheet, (0, 0), 0.00095 * stage.height)
        self._sheet = np.rint(np.clip(soft * (stage.height / 720), 0, 255)).astype(np.uint8)
        self._texels = canvas.matrix
        self._stage = stage

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Add their light to the frame."""
        placed = self._stage.matrix(pose, SKY)
        top, bottom, left, right = visible(placed, self._box, frame)
        if top >= bottom:
            return
        corner = np.array([[1, 0, -left - 0.5], [0, 1, -top - 0.5], [0, 0, 1.0]])
        matrix = self._texels @ np.linalg.inv(corner @ placed)
        groups = cv2.warpAffine(
            self._sheet,
            matrix[:2],
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        beat = np.array(
            [[pose.seconds * rate + i * 2.1 for i, rate in enumerate((2.3, 3.7, 5.3, 1.7))]]
        )
        light = cv2.transform(groups, (0.62 + 0.38 * np.sin(beat)).astype(np.float32))
        plane = frame_part(frame, top, bottom, left, right)[0]
        plane[:] = cv2.add(plane, light)


def disc(stage: Stage, chance: Chance, palette: Palette, sun: Field, moon: bool) -> Layer:
    """The sun, or the moon with its seas."""
    x, y, radius = (float(value) for value in sun)
    canvas = Canvas(
        stage, Box(x - 1.4 * radius, x + 1.4 * radius, y - 1.4 * radius, y + 1.4 * radius)
    )
    away = np.hypot(canvas.x - x, canvas.y - y) / radius
    edge = 1.5 / (radius * canvas.scale)
    cover = smooth(-away, -1 - edge, -1 + edge)
    colours = canvas.colour(palette.disc)
    if moon:
        seas = smooth(clouded(chance, away.shape, (3, 3)), -0.1, 0.8)
        limb = np.sqrt(np.clip(1 - away * away, 0, 1))
        colours *= (1 - 0.3 * seas * np.minimum(1, limb * 1.6))[..., None]
        colours *= (0.8 + 0.2 * limb)[..., None].astype(np.float32)
    else:
        low = np.clip((canvas.y - y) / radius * 0.5 + 0.5, 0, 1)[..., None]
        colours += (palette.glow - colours) * (0.35 * low).astype(np.float32)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, SKY))


def clouds(
    stage: Stage,
    chance: Chance,
    palette: Palette,
    sun: Field,
    much: float,
    speed: float,
    heavy: bool,
) -> Layer:
    """Clouds that drift, smaller and closer together towards the horizon, lit by the sun."""
    depth = SKY + 0.06
    travel = speed * stage.seconds / 2
    box = stage.reach(depth, (-travel, travel))
    canvas = Canvas(stage, Box(box.left, box.right, box.top, stage.horizon + 0.02), COARSE)
    # A ceiling seen in perspective; the offset keeps the horizon from shimmering.
    near = 0.3 / (np.clip(stage.horizon - canvas.y, 0, None) / stage.horizon + 0.22)
    x = 0.5 + canvas.x * near * 0.42 / stage.aspect
    y = near * 0.9
    field = clouded(chance, (640, 960), (7, 5), 7)
    density = sampled(field, x, y)
    # The side towards the sun is where there is less cloud on the way to it.
    toward = np.float32(0.012)
    dx, dy = sun[0] - canvas.x, sun[1] - canvas.y
    far = np.hypot(dx, dy) + 0.15
    shadow = sampled(field, x + toward * dx / far, y + toward * 1.6 * dy / far)
    low = 0.75 - 1.5 * much
    cover = smooth(density, low, low + 0.75)
    lit = smooth(density - shadow, -0.5, 0.5) * (1 - 0.45 * smooth(density, low + 0.3, low + 1.6))
    glow = np.exp(-far * 1.8)
    white = (
        mix(palette.light, np.ones(3, np.float32), 0.25)
        if not palette.dark
        else palette.light * 1.1
    )
    dark = mix(palette.shade, palette.sky[2], 0.35 if not heavy else 0.1)
    colours = dark + (white - dark) * lit[..., None]
    colours += (palette.glow - colours) * (0.6 * glow * (1 - 0.6 * cover))[..., None]
    fade = smooth(stage.horizon - canvas.y, 0.0, 0.16)
    colours += (palette.sky[3] - colours) * (0.65 * (1 - fade))[..., None].astype(np.float32)
    cover *= np.float32(0.94) * (0.35 + 0.65 * fade)
    return Layer(canvas, texture(np.clip(colours, 0, 1), cover), upright(stage, depth, speed))


def _ringed(
    colours: Field, cover: Field, chance: Chance, dx: Field, dy: Field, away: Field
) -> tuple[Field, Field]:
    """The planet's colours and cover with rings that pass behind it and before it."""
    along, across = dx * 0.94 - dy * 0.34, (dy * 0.94 + dx * 0.34) / 0.24
    reach = np.hypot(along, across)
    bands = np.interp(reach, np.linspace(1.3, 2.25, 160), chance.uniform(0.15, 1, 160))
    bands = np.asarray(cv2.GaussianBlur(bands, (0, 0), 1.2), np.float64)
    ring = smooth(reach, 1.32, 1.38) * smooth(-reach, -2.24, -2.1) * bands
    ring *= 1 - ((away < 1) & (across < 0)).astype(np.float32)
    # The planet throws its shadow away from the sun.
    ring_light = 1 - 0.85 * smooth(along, 0.2, 0.7) * smooth(-across, 0.1, 0.6)
    lit = rgb("#e8d8b8") * ring_light[..., None]
    share = (0.85 * ring)[..., None]
    blended = np.asarray(colours * (1 - share) + lit * share, np.float32)
    return blended, np.maximum(cover, 0.85 * ring).astype(np.float32)


class Aurora:
    """Curtains of light that wave and shimmer: rays hung from a line that winds."""

    def __init__(self, stage: Stage, chance: Chance) -> None:
        self._stage = stage
        rays = clouded(chance, (2, 1024), (1, 46), 4)[0]
        self._rays = (0.55 + 0.45 * rays).clip(0.05, 1.4)
        self._phases = chance.uniform(0, 2 * np.pi, 6)

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Add the curtains' light and colour to the frame."""
        height, width = frame.y.shape[0] // 8, frame.y.shape[1] // 8
        rows = round(height * self._stage.horizon)
        y = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        x = np.linspace(-0.5, 0.5, width, dtype=np.float32) + np.float32(SKY * pose.x)
        total = np.zeros((rows, width), np.float32)
        high = np.zeros_like(total)
        for curtain in range(3):
            foot, ray = self._curtain(curtain, x, pose.seconds)
            above = foot - y
            light = np.where(above > 0, np.exp(-above * 3.6), np.exp(above * 26)) * ray
            total += light
            high += light * smooth(above, 0.1, 0.55)
        share = np.clip(high / (total + 1e-3), 0, 1)
        glow = np.clip(total * np.clip(2.6 * y, 0, 1), 0, 1.3)
        part = frame_part(frame, 0, rows * 8, 0, width * 8)
        shifts = (125 * glow, (-16 + 46 * share) * glow, (-46 + 66 * share) * glow)
        for plane, shift in zip(part, shifts, strict=True):
            size = (plane.shape[1], plane.shape[0])
            light = cv2.resize(shift, size, interpolation=cv2.INTER_CUBIC)
            plane[:] = cv2.add(plane, light, dtype=cv2.CV_8U)

    def _curtain(self, number: int, x: Field, seconds: float) -> tuple[Field, Field]:
        """The row at which a curtain ends, and how bright its rays are, by column."""
        a, b = self._phases[2 * number : 2 * number + 2]
        foot = 0.62 + 0.1 * number + 0.1 * np.sin(x * 5.2 + a + 0.22 * seconds)
        foot += 0.05 * np.sin(x * 13 + b - 0.4 * seconds)
        fold = x + 0.03 * np.sin(x * 17 + a + 0.5 * seconds) + 0.012 * seconds * (1 - number)
        places = (fold + 0.3 * number) % 1 * (self._rays.size - 1)
        ray = np.interp(places, np.arange(self._rays.size), self._rays)
        ray *= 0.45 + 0.35 * np.sin(x * 4 + b + 0.35 * seconds)
        return foot.astype(np.float32), ray.astype(np.float32)


def planet(stage: Stage, chance: Chance, palette: Palette, ringed: bool) -> Layer:
    """A banded planet, lit from one side, with a rim of air and perhaps rings."""
    x, y, radius = 0.16 * stage.aspect, 0.54, 0.27
    wide = 2.4 if ringed else 1.3
    canvas = Canvas(
        stage, Box(x - wide * radius, x + wide * radius, y - 1.5 * radius, y + 1.5 * radius)
    )
    dx, dy = (canvas.x - x) / radius, (canvas.y - y) / radius
    away = np.hypot(dx, dy)
    up = np.sqrt(np.clip(1 - away * away, 0, 1))
    bands = sampled(
        clouded(chance, (512, 512), (9, 1.5), 6), 0.5 + 0.3 * dx / (0.4 + up), 0.5 + 0.4 * dy
    )
    first, second = mix(palette.glow, rgb("#c88f5a"), 0.6), mix(palette.shade, rgb("#7a4a5c"), 0.6)
    banded = first + (second - first) * smooth(bands, -0.6, 0.6)[..., None]
    toward = np.clip(-0.62 * dx - 0.5 * dy + 0.6 * up, 0, 1)
    colours: Field = banded * (0.03 + 1.15 * toward)[..., None]
    air = np.exp(-np.abs(away - 1) * 26) * np.clip(-0.75 * dx - 0.6 * dy + 0.25, 0, 1)
    colours += air[..., None] * rgb("#9cc8ff")
    edge = 1.5 / (radius * canvas.scale)
    cover: Field = np.maximum(smooth(-away, -1 - edge, -1 + edge), np.clip(air, 0, 1))
    if ringed:
        colours, cover = _ringed(colours, cover, chance, dx, dy, away)
    return Layer(
        canvas, texture(np.clip(colours, 0, 1).astype(np.float32), cover), upright(stage, 0.35)
    )
