"""A layer: a part of the scene drawn once, and laid into each frame where the camera sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from squero.engines.motion.planes import MATRIX, Plane, Planes
from squero.engines.motion.scene.stage import Box, Matrix, Pose, Stage

Field = NDArray[np.floating[Any]]
Placing = Callable[[Pose], Matrix]

SHARP = 864
"""How many rows of texels a frame is worth at the most: what is drawn has no finer detail."""

HALVE = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
"""From a pixel of a texture to its chroma."""
SITE = np.array([[0.5, 0, 0], [0, 0.5, -0.25], [0, 0, 1]])
"""From the frame's pixels to its chroma, which H.264 puts on the left column."""


class Canvas:
    """A part of the scene as a grid of texels, so many to each pixel of a frame of SHARP rows."""

    def __init__(self, stage: Stage, box: Box, fine: float = 1.0) -> None:
        self.stage, self.box = stage, box
        self.scale = min(stage.height, SHARP) * fine
        self.width = max(4, 2 * round((box.right - box.left) * self.scale / 2))
        self.height = max(4, 2 * round((box.bottom - box.top) * self.scale / 2))
        self.x: Field = (
            box.left + (np.arange(self.width, dtype=np.float32) + 0.5) / self.scale
        ).astype(np.float32)
        self.y: Field = (
            box.top + (np.arange(self.height, dtype=np.float32)[:, None] + 0.5) / self.scale
        ).astype(np.float32)

    def blank(self) -> Field:
        """A field of zeros."""
        return np.zeros((self.height, self.width), np.float32)

    def colour(self, colour: Field) -> Field:
        """The whole canvas in one colour."""
        return np.broadcast_to(colour, (self.height, self.width, 3)).astype(np.float32)

    def points(self, points: Field) -> NDArray[np.int32]:
        """Scene points as OpenCV draws them, in sixteenths of a texel."""
        moved = (points - [self.box.left, self.box.top]) * self.scale - 0.5
        return np.rint(moved * 16).astype(np.int32)

    def fill(self, ink: Plane, points: Field, level: int = 255) -> None:
        """Fill a polygon, softly edged."""
        cv2.fillPoly(ink, [self.points(points)], (level,), cv2.LINE_AA, 4)

    def sheet(self) -> Plane:
        """An empty sheet to draw inks on."""
        return np.zeros((self.height, self.width), np.uint8)

    @property
    def matrix(self) -> Matrix:
        """From scene to texels, whose middles are whole."""
        scale = self.scale
        return np.array(
            [
                [scale, 0, -self.box.left * scale - 0.5],
                [0, scale, -self.box.top * scale - 0.5],
                [0, 0, 1.0],
            ]
        )


@dataclass(frozen=True, slots=True)
class Texture:
    """Planes multiplied by their cover, with the light that comes through, in four channels each.

    OpenCV resamples four channels almost as fast as one.
    """

    luma: Plane
    """Luma and light, twice."""
    chroma: Plane
    """U, V, light and nothing."""
    opaque: bool
    corner: tuple[int, int]
    """Where in the canvas it begins: texels across and down."""


def texture(colours: Field, cover: Field | None = None) -> Texture:
    """The texture of colours in RGB, 0 to 1, with even sides; None covers everything."""
    corner = (0, 0)
    if cover is None:
        cover = np.ones(colours.shape[:2], np.float32)
        opaque = True
    else:
        opaque = False
        rows, columns = _covered(cover)
        corner = (columns.start, rows.start)
        colours, cover = colours[rows, columns], cover[rows, columns]
    planes: NDArray[np.float32] = np.asarray(
        cv2.transform(np.asarray(colours, np.float32), _SCALED), np.float32
    )
    planes *= cover[..., None].astype(np.float32)
    half = (planes.shape[1] // 2, planes.shape[0] // 2)
    small = np.asarray(cv2.resize(planes[..., 1:], half, interpolation=cv2.INTER_AREA), np.float32)
    through = np.float32(255) * (1 - cover)
    small_through = np.rint(cv2.resize(through, half, interpolation=cv2.INTER_AREA)).astype(
        np.uint8
    )
    luma, light = _bytes(planes[..., 0], cover), np.rint(through).astype(np.uint8)
    u, v = _bytes(small[..., 0]), _bytes(small[..., 1])
    return Texture(
        luma if opaque else plane_of(cv2.merge([luma, light, luma, light])),
        plane_of(cv2.merge([u, v, small_through, small_through])),
        opaque,
        corner,
    )


def plane_of(found: NDArray[Any]) -> Plane:
    """What OpenCV made of bytes."""
    return np.asarray(found, np.uint8)


def _covered(cover: Field) -> tuple[slice, slice]:
    """The even rows and columns outside of which nothing is covered."""
    found = []
    for axis in (1, 0):
        marks = np.flatnonzero(cover.max(axis=axis) > 0.002)
        first, last = (int(marks[0]), int(marks[-1])) if marks.size else (0, 1)
        found.append(slice(first // 2 * 2, last // 2 * 2 + 2))
    return found[0], found[1]


_SCALED = np.hstack([MATRIX[:, :3] * 255, MATRIX[:, 3:]]).astype(np.float32)


def _bytes(field: Field, cover: Field | None = None) -> Plane:
    """The field as bytes, dithered: the steps of a soft gradient would show."""
    noise = np.random.default_rng(0).random(field.shape, np.float32) - np.float32(0.5)
    if cover is not None:
        noise *= cover
    noise += field
    return plane_of(np.rint(np.clip(noise, 0, 255)).astype(np.uint8))


class Layer:
    """A texture of a canvas, placed anew in every frame."""

    def __init__(self, canvas: Canvas, drawn: Texture, placing: Placing) -> None:
        self._texture = drawn
        self._placing = placing
        across, down = drawn.corner
        shift = np.array([[1, 0, -across], [0, 1, -down], [0, 0, 1.0]])
        self._texels = shift @ canvas.matrix
        rows, columns = drawn.luma.shape[:2]
        left, top = canvas.box.left + across / canvas.scale, canvas.box.top + down / canvas.scale
        self._box = Box(left, left + columns / canvas.scale, top, top + rows / canvas.scale)

    def lay(self, pose: Pose, frame: Planes) -> None:
        """Draw it over the frame as the camera sees it from there."""
        placed = self._placing(pose)
        top, bottom, left, right = visible(placed, self._box, frame)
        if top >= bottom or left >= right:
            return
        y, u, v = frame_part(frame, top, bottom, left, right)
        # A pixel's middle lies half a pixel inside it.
        corner = np.array([[1, 0, -left - 0.5], [0, 1, -top - 0.5], [0, 0, 1.0]])
        full = self._texels @ np.linalg.inv(corner @ placed)
        half = HALVE @ full @ np.linalg.inv(SITE)
        if self._texture.opaque:
            y[:] = resampled(self._texture.luma, full, y)
            chroma = resampled(self._texture.chroma, half, u)
            u[:], v[:] = chroma[..., 0], chroma[..., 1]
            return
        luma = resampled(self._texture.luma, full, y, (0, 255, 0, 255))
        over(y, plane_of(cv2.extractChannel(luma, 0)), plane_of(cv2.extractChannel(luma, 1)))
        chroma = resampled(self._texture.chroma, half, u, (0, 0, 255, 255))
        blue, red, light, _ = map(plane_of, cv2.split(chroma))
        over(u, blue, light)
        over(v, red, light)


def resampled(
    source: Plane, matrix: Matrix, like: Plane, beyond: tuple[int, ...] | None = None
) -> Plane:
    """The source through the matrix, as large as a plane; None repeats its edges beyond them."""
    return plane_of(
        cv2.warpAffine(
            source,
            matrix[:2],
            (like.shape[1], like.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT,
            borderValue=beyond or (0,),
        )
    )


def halved(plane: Plane) -> Plane:
    """The plane at half its size."""
    size = (plane.shape[1] // 2, plane.shape[0] // 2)
    return plane_of(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def dimmed(plane: Plane, share: float) -> Plane:
    """The plane with each value multiplied by a share."""
    return plane_of(cv2.convertScaleAbs(plane, alpha=share))


def over(plane: Plane, shown: Plane, light: Plane) -> None:
    """Lay what is shown over the plane, of which so much light comes through."""
    plane[:] = cv2.add(cv2.multiply(plane, light, scale=1 / 255), shown)


def visible(placed: Matrix, box: Box, frame: Planes) -> tuple[int, int, int, int]:
    """The even rows and columns of the frame that the box, so placed, touches."""
    corners = np.array(
        [[x, y, 1] for x in (box.left, box.right) for y in (box.top, box.bottom)], np.float64
    ).T
    (left, top, _), (right, bottom, _) = (placed @ corners).min(1), (placed @ corners).max(1)
    height, width = frame.y.shape
    return (
        max(0, int(top) // 2 * 2),
        min(height, -int(-bottom // 2) * 2),
        max(0, int(left) // 2 * 2),
        min(width, -int(-right // 2) * 2),
    )


def frame_part(
    frame: Planes, top: int, bottom: int, left: int, right: int
) -> tuple[Plane, Plane, Plane]:
    """The planes between even rows and columns."""
    rows, columns = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
    return frame.y[top:bottom, left:right], frame.u[rows, columns], frame.v[rows, columns]
