"""What is in the air: rain, flakes and other small things that fall or float, lightning, mist."""

from dataclasses import dataclass

import cv2
import numpy as np

from squero.engines.motion.planes import MATRIX, Plane, Planes
from squero.engines.motion.scene.layer import (
    Canvas,
    Field,
    Layer,
    dimmed,
    halved,
    plane_of,
    texture,
)
from squero.engines.motion.scene.noise import Chance, clouded, smooth
from squero.engines.motion.scene.palette import Colour, Palette, rgb
from squero.engines.motion.scene.sky import upright
from squero.engines.motion.scene.stage import SKY, Box, Pose, Stage


class Rain:
    """Streaks in three depths, each a sheet that falls past the camera again and again."""

    def __init__(self, stage: Stage, chance: Chance, palette: Palette, heavy: float) -> None:
        self._stage = stage
        self._lean = 0.1 + 0.12 * heavy
        self._sheets: list[tuple[Plane, float, float]] = []
        ink = 36 if palette.dark else 50
        for count, length, width, speed, depth in (
            (1000, 0.035, 1.0, 1.5, 0.5),
            (620, 0.075, 1.3, 2.3, 0.9),
            (150, 0.15, 1.9, 3.3, 1.4),
        ):
            sheet = self._streaks(chance, round(count * heavy), length, width, ink)
            self._sheets.append((sheet, speed, depth))

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Add the streaks' light to the frame."""
        height, width = frame.y.shape
        for sheet, speed, depth in self._sheets:
            rows, columns = sheet.shape[0] // 2, sheet.shape[1] // 2
            fallen = speed * pose.seconds
            down = round((-fallen + depth * pose.y) * height) % rows
            right = round((fallen * self._lean + depth * pose.x) * height) % columns
            cv2.add(frame.y, sheet[down : down + height, right : right + width], dst=frame.y)

    def _streaks(self, chance: Chance, count: int, length: float, width: float, ink: int) -> Plane:
        """Streaks on a sheet that continues beyond its edges, laid twice each way."""
        height, wide = self._stage.height, self._stage.width
        sheet = np.zeros((height, wide), np.float32)
        thick = max(1, round(width * height / 720))
        for _ in range(round(count * self._stage.aspect / 1.78)):
            x, y = chance.uniform(0, wide), chance.uniform(0, height)
            long = length * height * chance.uniform(0.6, 1.3)
            level = ink * chance.uniform(0.35, 1.0)
            for dx in (0, -wide):
                for dy in (0, -height):
                    start = (round((x + dx) * 16), round((y + dy) * 16))
                    end = (start[0] - round(self._lean * long * 16), start[1] + round(long * 16))
                    cv2.line(sheet, start, end, (level,), thick, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(sheet, (0, 0), 0.0006 * height * thick)
        return np.tile(np.rint(np.clip(soft, 0, 255)).astype(np.uint8), (2, 2))


@dataclass(frozen=True, slots=True)
class Kind:
    """What small things are like; speeds in heights of the frame a second."""

    count: int
    fall: float
    sway: float
    size: float
    colours: tuple[str, ...]
    blinks: bool = False
    cover: float = 0.9
    across: float = 0.02
    flat: bool = False
    """Tumbling leaves rather than balls."""


KINDS = {
    "snow": Kind(420, 0.13, 0.025, 0.0042, ("#ffffff",), cover=0.85),
    "blizzard": Kind(1100, 0.32, 0.05, 0.0042, ("#ffffff",), cover=0.8, across=0.4),
    "leaves": Kind(
        46, 0.13, 0.06, 0.011, ("#d8662a", "#e8a032", "#b8402a"), across=0.08, flat=True
    ),
    "petals": Kind(110, 0.08, 0.05, 0.006, ("#ffd0de", "#ffb4cc"), across=0.09, flat=True),
    "embers": Kind(70, -0.16, 0.03, 0.0024, ("#ffb04a", "#ff7a2a"), blinks=True),
    "fireflies": Kind(60, -0.006, 0.05, 0.0036, ("#e8ff7a",), blinks=True, cover=0.95),
    "dust": Kind(90, -0.01, 0.02, 0.0017, ("#fff0d0",), blinks=True, cover=0.4, across=0.05),
}


class Motes:
    """Small things that fall, rise or float, each on a way of its own."""

    def __init__(self, stage: Stage, chance: Chance, kind: Kind, light: float) -> None:
        count = round(kind.count * max(0.6, stage.aspect / 1.78))
        self._stage, self._kind = stage, kind
        self._x = chance.uniform(0, 1, count)
        self._y = chance.uniform(0, 1, count)
        near = chance.random(count) ** 2.2
        self._depth = 0.45 + 1.25 * near
        self._size = kind.size * (0.45 + 1.5 * near)
        self._phase = chance.uniform(0, 2 * np.pi, count)
        self._rate = chance.uniform(0.5, 1.6, count)
        self._hue = chance.integers(0, len(kind.colours), count)
        self._level = np.where(near > 0.8, 0.6, 1.0) * chance.uniform(0.6, 1.0, count)
        halo = 1 + 2 * round(0.006 * stage.height)
        self._halo = (halo, halo)
        self._inks = [
            MATRIX[:, :3] @ (255 * rgb(code) * light) + MATRIX[:, 3] for code in kind.colours
        ]

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw them over the frame."""
        for hue, ink in enumerate(self._inks):
            cover = self._drawn(pose, hue, frame.y.shape)
            half = halved(cover)
            if self._kind.blinks:
                # What glows lights up the air around it; its colour is seen in that.
                soft = plane_of(cv2.blur(cv2.blur(half, self._halo), self._halo))
                half = plane_of(cv2.addWeighted(half, 1.0, soft, 1.6, 0))
                cover = plane_of(cv2.add(cover, cv2.resize(dimmed(soft, 0.6), cover.shape[::-1])))
            for plane, level, mask in zip(
                (frame.y, frame.u, frame.v), ink, (cover, half, half), strict=True
            ):
                through = cv2.bitwise_not(mask)
                cv2.multiply(plane, through, dst=plane, scale=1 / 255)
                cv2.add(plane, dimmed(mask, float(level) / 255), dst=plane)

    def _drawn(self, pose: Pose, hue: int, shape: tuple[int, ...]) -> Plane:
        """How much each pixel is covered by those of one colour."""
        mask = np.zeros(shape, np.uint8)
        kind, seconds, chosen = self._kind, pose.seconds, self._hue == hue
        depth, phase, rate = self._depth[chosen], self._phase[chosen], self._rate[chosen]
        turn = phase + rate * seconds * 2
        zoom = pose.zoom ** (depth * 0.5)
        x = (
            self._x[chosen]
            + (kind.across * depth * seconds + kind.sway * np.sin(turn) - depth * pose.x)
            / self._stage.aspect
        )
        y = self._y[chosen] + (
            kind.fall * depth * seconds + 0.4 * kind.sway * np.cos(turn * 0.7) - depth * pose.y
        )
        middle_x = ((x % 1.1 - 0.05 - 0.5) * zoom + 0.5) * shape[1] * 16
        middle_y = ((y % 1.1 - 0.05 - 0.5) * zoom + 0.5) * shape[0] * 16
        level = 255 * kind.cover * self._level[chosen]
        if kind.blinks:
            level = level * np.clip(0.45 + 0.75 * np.sin(phase * 3 + rate * seconds * 3), 0, 1)
        radius = np.maximum(self._size[chosen] * zoom * shape[0] * 16, 9)
        at = np.rint(np.stack([middle_x, middle_y], 1)).astype(int).tolist()
        if kind.flat:
            for place, r, t, ink in zip(
                at, radius.tolist(), turn.tolist(), level.tolist(), strict=True
            ):
                squash = 0.25 + 0.75 * abs(np.sin(1.7 * t))
                _leaf(mask, place, r, r * squash * 0.5, t, ink)
        else:
            for place, r, ink in zip(
                at, np.rint(radius).astype(int).tolist(), level.tolist(), strict=True
            ):
                cv2.circle(mask, place, r, (ink,), -1, cv2.LINE_AA, 4)
        return mask


def _leaf(mask: Plane, place: list[int], long: float, wide: float, turn: float, ink: float) -> None:
    """A pointed leaf, in sixteenths of a pixel."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    x, y = long * np.cos(angle), wide * np.sin(angle) * np.abs(np.sin(angle)) ** 0.3
    c, s = np.cos(turn), np.sin(turn)
    shape = np.stack([place[0] + c * x - s * y, place[1] + s * x + c * y], 1)
    cv2.fillPoly(mask, [np.rint(shape).astype(np.int32)], (ink,), cv2.LINE_AA, 4)


class Lightning:
    """Strikes, each a bolt that flickers and dies while the clouds around it light up."""

    def __init__(self, stage: Stage, chance: Chance) -> None:
        self._stage = stage
        # One strike is always seen in the middle of the clip, the others come as they like.
        middle = 0.5 * stage.seconds - 0.05
        gaps = np.cumsum(chance.uniform(1.0, 2.0, 2 + round(stage.seconds)))
        times = np.concatenate([middle - gaps, [middle], middle + gaps])
        self._times = np.sort(times[(times > 0.05) & (times < stage.seconds)])
        self._bolts = [self._bolt(chance) for _ in range(min(3, len(self._times)))]
        self._billows = clouded(chance, (90, 160), (5, 7), 4)

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Add the light of the strikes that are seen at this time."""
        for number, time in enumerate(self._times):
            power = flash(pose.seconds - float(time))
            if power > 0.01:
                bolt, x = self._bolts[number % len(self._bolts)]
                self._flare(frame, x, power)
                if power > 0.12:
                    plane = frame.y[: bolt.shape[0]]
                    light = dimmed(bolt, min(1.0, power * 1.15))
                    cv2.add(plane, light, dst=plane)
                    for chroma in (frame.u, frame.v):
                        small = cv2.resize(light, (chroma.shape[1], bolt.shape[0] // 2))
                        part = chroma[: small.shape[0]]
                        tone = cv2.addWeighted(part, 0.4, part, 0, 77)
                        np.copyto(part, tone, where=small > 60)

    def _flare(self, frame: Planes, x: float, power: float) -> None:
        """Light up the clouds around the bolt, and a little of everything."""
        height, width = frame.y.shape
        rows, columns = self._billows.shape
        across = (np.arange(columns, dtype=np.float32) + 0.5) / columns - x
        down = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows
        near = np.exp(-((across * self._stage.aspect) ** 2) * 3.5 - (down - 0.1) ** 2 * 7)
        light = near * (0.75 + 0.5 * self._billows) + 0.1 * (1 - 0.4 * down)
        added = cv2.resize((light * np.float32(105 * power)).astype(np.float32), (width, height))
        cv2.add(frame.y, added, dst=frame.y, dtype=cv2.CV_8U)

    def _bolt(self, chance: Chance) -> tuple[Plane, float]:
        """A forked bolt from the clouds to the horizon with its glow, and where it strikes."""
        stage = self._stage
        height = round(stage.horizon * stage.height / 2) * 2
        sheet = np.zeros((height, stage.width), np.uint8)
        x = chance.uniform(0.2, 0.8)
        path = forked(chance, np.array([x * stage.width, 0.02 * height]), height * 1.02, 0.5)
        for points, width in path:
            drawn = [np.rint(points * 16).astype(np.int32)]
            cv2.polylines(
                sheet, drawn, False, (255,), max(1, round(width * height / 190)), cv2.LINE_AA, 4
            )
        glow = cv2.GaussianBlur(sheet, (0, 0), 0.012 * stage.height)
        small = halved(halved(halved(sheet)))
        wide = plane_of(
            cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.006 * stage.height), (stage.width, height))
        )
        core = cv2.GaussianBlur(sheet, (0, 0), 0.0009 * stage.height)
        lit = cv2.addWeighted(core, 1.0, glow, 0.9, 0)
        return plane_of(cv2.add(lit, dimmed(wide, 1.6))), x


def flash(seconds: float) -> float:
    """How bright a strike is, so long after it began: three pulses that die away."""
    pulses = ((0.0, 1.0, 14.0), (0.13, 0.75, 11.0), (0.24, 0.5, 4.5))
    return float(
        sum(high * np.exp(-fall * (seconds - at)) for at, high, fall in pulses if seconds >= at)
        if 0 <= seconds < 1.4
        else 0
    )


def forked(chance: Chance, start: Field, length: float, width: float) -> list[tuple[Field, float]]:
    """The lines of a bolt that runs so far down from a point, with their widths."""
    count = max(4, round(26 * width * 2))
    steps = np.cumsum(chance.normal(0, length * 0.026, count))
    down = np.linspace(0, length, count)
    points = np.stack([start[0] + steps, start[1] + down], 1)
    lines = [(points, width)]
    if width > 0.12:
        for _ in range(3):
            fork = int(chance.integers(1, max(2, count - 3)))
            part = forked(
                chance, points[fork], (length - down[fork]) * chance.uniform(0.3, 0.6), width * 0.42
            )
            slant = chance.choice([-1, 1]) * chance.uniform(0.25, 0.6)
            lines += [
                (line + np.stack([slant * (line[:, 1] - points[fork][1]), 0 * line[:, 1]], 1), thin)
                for line, thin in part
            ]
    return lines


def mist(
    stage: Stage,
    chance: Chance,
    colour: Colour,
    *,
    row: float,
    high: float,
    depth: float,
    much: float,
    speed: float,
) -> Layer:
    """A bank of mist that drifts at a depth, thickest at a row of the scene."""
    travel = abs(speed) * stage.seconds / 2
    seen = stage.reach(depth, (-travel, travel))
    canvas = Canvas(stage, Box(seen.left, seen.right, row - 1.6 * high, row + 1.6 * high), 0.25)
    wisps = clouded(chance, (canvas.height, canvas.width), (2.5, 5), 4)
    cover = np.exp(-(((canvas.y - row) / (0.75 * high)) ** 2)) * smooth(wisps, -0.9, 0.7)
    cover *= smooth(1.6 * high - np.abs(canvas.y - row), 0, 0.5 * high)
    return Layer(
        canvas,
        texture(canvas.colour(colour), (cover * much).astype(np.float32)),
        upright(stage, depth, speed),
    )


class Birds:
    """A flock far away, flapping on its way across the sky."""

    def __init__(self, stage: Stage, chance: Chance) -> None:
        count = 9
        self._stage = stage
        self._x = chance.uniform(-0.2, 0.25, count) - 0.1
        self._y = chance.uniform(0.16, 0.34, count) * stage.horizon / 0.6
        self._size = chance.uniform(0.008, 0.017, count)
        self._phase = chance.uniform(0, 6, count)

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw them over the frame, dark against the sky."""
        matrix = self._stage.matrix(pose, SKY + 0.15)
        for x, y, size, phase in zip(self._x, self._y, self._size, self._phase, strict=True):
            beat = np.sin(phase + 9 * pose.seconds) * np.clip(
                np.sin(0.8 * pose.seconds + phase) + 0.7, 0, 1
            )
            wing = np.array(
                [
                    [-1, -0.35 * beat],
                    [-0.45, -0.32 - 0.25 * beat],
                    [0, 0],
                    [0.45, -0.32 - 0.25 * beat],
                    [1, -0.35 * beat],
                ]
            )
            at = np.array([x + 0.035 * pose.seconds, y + 0.006 * np.sin(pose.seconds + phase)])
            points = np.c_[wing * size + at, np.ones(5)] @ matrix.T
            drawn = [np.rint(points[:, :2] * 16).astype(np.int32)]
            thick = max(1, round(self._stage.height * size / 7))
            cv2.polylines(frame.y, drawn, False, (24,), thick, cv2.LINE_AA, 4)
