"""Water: it mirrors what stands behind it, broken up by ripples, and glitters under the light."""

import cv2
import numpy as np

from squero.engines.motion.planes import MATRIX, Plane, Planes
from squero.engines.motion.scene.layer import Canvas, Field
from squero.engines.motion.scene.noise import Chance, clouded, sampled
from squero.engines.motion.scene.palette import Colour, Palette
from squero.engines.motion.scene.stage import SKY, Box, Pose, Stage, nearer

COARSE = 0.5
RATES = (1.3, 2.1, 3.4)
"""How fast the ripples of each size come and go, in radians a second."""


class Water:
    """Everything from a waterline to our feet; `swell` 0 is a pond, 1 a rough sea."""

    def __init__(
        self,
        stage: Stage,
        chance: Chance,
        palette: Palette,
        *,
        swell: float,
        deep: Colour,
        sun: Field | None,
        wet: float = 0.0,
    ) -> None:
        self._stage = stage
        self._wet = wet
        self._swell = swell
        self._sun = None if sun is None else (float(sun[0]), float(sun[2]))
        seen = stage.reach(None)
        self._box = Box(seen.left, seen.right, stage.horizon, seen.bottom)
        canvas = Canvas(stage, self._box, COARSE)
        self._texels = canvas.matrix
        self._waves = [_waves(canvas, chance, swell, size) for size in range(len(RATES))]
        self._gain, self._tint = _toning(stage, palette, deep, swell, wet)
        self._glint = 120 if palette.dark else 190
        self._bright = float(np.clip(2.2 * palette.haze.mean(), 0.3, 1.0))
        self._tone = [np.float32(0.7 * value) for value in MATRIX[1:, :3] @ (255 * palette.glow)]

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw it over the frame below the horizon; it mirrors what the frame shows above."""
        line = self._stage.skyline(pose)
        height, width = frame.y.shape
        top = max(2, int(np.ceil(line / 2)) * 2)
        if top >= height:
            return
        ripple = self._ripple(pose, (width // 2, (height - top) // 2), top)
        self._mirror(frame, ripple, line, top)
        self._shine(frame, ripple, pose, top)

    def _ripple(self, pose: Pose, size: tuple[int, int], top: int) -> Field:
        """The slope of the water now, at half the frame's size."""
        total: Field = np.zeros_like(self._waves[0][0])
        for rate, (first, second) in zip(RATES, self._waves, strict=True):
            total += first * np.float32(np.cos(rate * pose.seconds))
            total += second * np.float32(np.sin(rate * pose.seconds))
        corner = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25 - top / 2], [0, 0, 1.0]])
        matrix = self._texels @ np.linalg.inv(corner @ self._stage.plane(pose))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(total, matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REFLECT),
            np.float32,
        )

    def _mirror(self, frame: Planes, ripple: Field, line: float, top: int) -> None:
        """What is above the line, upside down and broken up, in the water's colour."""
        height = frame.y.shape[0]
        strength = self._stage.height
        for plane, shrink, number in ((frame.y, 1, 0), (frame.u, 2, 1), (frame.v, 2, 2)):
            start, edge = top // shrink, line / shrink
            rows, columns = plane.shape[0] - start, plane.shape[1]
            if number != 2:
                broken = ripple if shrink == 2 else cv2.resize(ripple, (columns, rows))
                down = np.arange(start, start + rows, dtype=np.float32)[:, None]
                y = broken * np.float32(strength / shrink) + (2 * edge - 1 - down)
                # A wave cannot mirror what is below its own horizon.
                np.clip(y, 0, start - 1, out=y)
                x = broken * np.float32(0.16 * strength / shrink)
                x += np.arange(columns, dtype=np.float32)
            shown = cv2.remap(
                plane[:start], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            if self._wet:
                shown = cv2.blur(shown, (1, 1 + 2 * round(0.02 * self._wet * height / shrink)))
            gain = self._gain[number][:rows]
            cv2.multiply(
                shown,
                np.ascontiguousarray(np.broadcast_to(gain, shown.shape)),
                dst=shown,
                scale=1 / 255,
            )
            plane[start:] = cv2.add(
                shown, np.ascontiguousarray(np.broadcast_to(self._tint[number][:rows], shown.shape))
            )

    def _shine(self, frame: Planes, ripple: Field, pose: Pose, top: int) -> None:
        """Facets that face the sky are lighter; under the sun or moon lies a path of glitter."""
        scale = (14 + 46 * self._swell) * self._bright
        depth = (np.arange(ripple.shape[0], dtype=np.float32) + 0.5) / (self._stage.height * 0.24)
        ease = np.clip(depth, 0.15, 1)[:, None]
        facets = ripple / (0.003 + (0.011 + 0.03 * self._swell) * ease)
        light = facets * np.float32(scale) * ease
        if self._swell > 0.5:
            light += np.clip(facets * 3 - 1.15, 0, 1) * (75 * self._bright) * ease
        if self._sun:
            x, radius = self._sun
            middle = (
                (x - SKY * pose.x) * nearer(pose.zoom, SKY) * self._stage.height
                + frame.y.shape[1] / 2
            ) / 2
            spread = self._stage.height * (0.6 * radius + 0.035 + 0.075 * ease)
            across = np.arange(ripple.shape[1], dtype=np.float32)
            path = np.exp(-(((across - middle) / spread) ** 2))
            glint = np.clip(facets * 4.5 - 0.55, 0, 1.2) + 0.1
            glitter = path * glint * (0.25 + 0.75 * (1 - ease))
            light += glitter * np.float32(self._glint)
            for chroma, shift in zip((frame.u, frame.v), self._tone, strict=True):
                part = chroma[top // 2 :]
                part[:] = cv2.add(part, glitter[: part.shape[0]] * shift, dtype=cv2.CV_8U)
        plane = frame.y[top:]
        added = cv2.resize(light, (plane.shape[1], plane.shape[0]))
        plane[:] = cv2.add(plane, added, dtype=cv2.CV_8U)


def _waves(canvas: Canvas, chance: Chance, swell: float, size: int) -> tuple[Field, Field]:
    """Two fields that together make waves of one size rise and fall, in heights of the frame."""
    horizon = canvas.stage.horizon
    nearness = np.clip((canvas.y - horizon) / (1 - horizon), 0, 1.6)
    away = 1 / (nearness + 0.06)
    x = 0.5 + canvas.x * away * 0.05
    y = away / 16.7
    strength = (0.0012 + 0.0025 * swell + (0.011 + 0.03 * swell) * nearness) * (0.55, 0.5, 0.5)[
        size
    ]
    cells = ((60, 22), (130, 64), (280, 190))[size]
    fields = []
    for _ in range(2):
        noise = clouded(chance, (1024, 768), cells, 2)
        fields.append((sampled(noise, x, y) * strength).astype(np.float32))
    return fields[0], fields[1]


def _toning(
    stage: Stage, palette: Palette, deep: Colour, swell: float, wet: float
) -> tuple[list[Plane], list[Plane]]:
    """By plane and row: how much of the mirrored light is kept, and the water's own colour."""
    deepest = stage.height * (1 - stage.horizon)
    # Enough rows even for a camera that looks down until nothing but water is seen.
    nearness = np.clip(np.arange(stage.height) / deepest, 0, 1)[:, None]
    kept = 0.93 - (0.5 + 0.2 * swell) * nearness**0.7
    if wet:
        kept = 0.62 - 0.3 * nearness
    inside = (deep * (palette.shade + 0.5 * palette.light)).clip(0, 1)
    own = MATRIX[:, :3] @ (255 * inside) + MATRIX[:, 3]
    gains, tints = [], []
    for number in range(3):
        part = kept if number == 0 else kept[::2]
        gains.append(np.rint(255 * part).astype(np.uint8))
        tints.append(np.rint((1 - part) * own[number]).astype(np.uint8))
    return gains, tints
