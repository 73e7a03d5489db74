"""A slow camera moves evenly: dots followed to a hundredth of a pixel and better."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from squero.engines.motion.camera import Camera
from squero.engines.motion.move import parse
from squero.engines.motion.picture import Picture
from squero.engines.motion.planes import Plane, Planes

pytestmark = pytest.mark.motion

WIDTH, HEIGHT = 1280, 720
FRAMES = 60
ALLOWED_PIXELS = 0.01
GROUND, SPREAD, RADIUS = 40, 6.0, 20


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, float]]]:
    """A picture of soft dots, and where they are, in shares of it."""
    chance = np.random.default_rng(2)
    wide, high = 2 * WIDTH, 2 * HEIGHT
    sheet = np.full((high, wide), float(GROUND))
    places = []
    reach = int(8 * SPREAD)
    for column, row in product(range(700, 1900, 300), range(400, 1100, 200)):
        x, y = column + chance.uniform(-0.5, 0.5), row + chance.uniform(-0.5, 0.5)
        part = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
        down, across = np.mgrid[part]
        sheet[part] += 170 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (8 * SPREAD**2))
        places.append(((x + 0.5) / wide, (y + 0.5) / high))
    path = tmp_path_factory.mktemp("dots") / "dots.png"
    Image.fromarray(np.rint(sheet).astype(np.uint8)).save(path)
    return path, places


def centre(luma: Plane, x: float, y: float) -> tuple[float, float]:
    """Where the dot near here is, by its weight."""
    column, row = round(x), round(y)
    part = np.s_[row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1]
    down, across = np.mgrid[part]
    weights = np.clip(luma[part].astype(float) - luma.min() - 2, 0, None)
    return (
        float((weights * across).sum() / weights.sum()),
        float((weights * down).sum() / weights.sum()),
    )


def jitter(ways: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """The distance of all ways from smooth ones, root of the mean square, in pixels."""
    terms = np.vander(2 * shares - 1, 7)
    flat = ways.reshape(len(shares), -1)
    rest = flat - terms @ np.linalg.lstsq(terms, flat, rcond=None)[0]
    return float(np.sqrt((rest**2).mean()))


@pytest.mark.parametrize("prompt", ["very slow push in", "very slow pan to the right"])
def test_dots_move_evenly(dots: tuple[Path, list[tuple[float, float]]], prompt: str) -> None:
    path, places = dots
    camera, frame = Camera(parse(prompt)), Planes.blank(WIDTH, HEIGHT)
    picture = Picture(path, WIDTH, HEIGHT, camera)
    # The even part of the move, between its soft ends.
    shares = np.linspace(0.25, 0.75, FRAMES)
    ways = []
    for share in shares:
        picture.expose(float(share), frame)
        view = camera.view(float(share))
        seen = [((x - view.left) / view.size, (y - view.top) / view.size) for x, y in places]
        ways.append([centre(frame.y, x * WIDTH - 0.5, y * HEIGHT - 0.5) for x, y in seen])
    found = np.array(ways)
    assert np.ptp(found, axis=0).max() > 5
    rms = jitter(found, shares)
    print(f"{prompt}: {rms:.4f} px")
    assert rms <= ALLOWED_PIXELS


def test_a_rounded_way_would_be_noticed() -> None:
    shares = np.linspace(0, 1, FRAMES)
    smooth = (20 * shares)[:, None, None]
    assert jitter(smooth, shares) < 1e-6
    assert jitter(np.rint(smooth * 16) / 16, shares) > ALLOWED_PIXELS
