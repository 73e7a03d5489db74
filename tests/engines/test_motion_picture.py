"""A picture under a camera: what the frame shows, from which part of it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from squero.engines.motion.camera import Camera
from squero.engines.motion.move import STILL, Move, parse
from squero.engines.motion.picture import Picture, Sheet
from squero.engines.motion.planes import Planes

WIDTH, HEIGHT = 320, 180
EVERY_MOVE = [
    Move(zoom=1),
    Move(zoom=-1, pan=1, tilt=-1),
    Move(orbit=-1),
    Move(roll=1, zoom=-1),
    Move(shake=1, pan=-1),
    Move(orbit=1, roll=-1, tilt=1, shake=1, pace=2.5),
]


def shown(picture: Picture, share: float) -> NDArray[np.uint8]:
    frame = Planes.blank(WIDTH, HEIGHT)
    picture.expose(share, frame)
    return frame.buffer.copy()


def luma(picture: Picture, share: float) -> NDArray[np.float64]:
    return shown(picture, share)[:HEIGHT].astype(float)


def plain(path: Path, colour: str, size: tuple[int, int] = (64, 36)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def ramp(path: Path, width: int, height: int) -> Path:
    """A picture whose grey grows to the right by half its range and downwards by the other."""
    across, down = np.meshgrid(np.linspace(0, 127, width), np.linspace(0, 127, height))
    Image.fromarray((across + down).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("size", [(320, 180), (900, 100), (100, 900), (7, 5)])
@pytest.mark.parametrize("move", EVERY_MOVE)
def test_nothing_from_beyond_the_edge(tmp_path: Path, size: tuple[int, int], move: Move) -> None:
    picture = Picture(
        plain(tmp_path / "white.png", "white", size), WIDTH, HEIGHT, Camera((move,), seed=4)
    )
    for share in (0, 0.25, 0.5, 0.75, 1):
        assert luma(picture, share).min() >= 234


def test_still_is_the_whole_picture(tmp_path: Path) -> None:
    picture = Picture(ramp(tmp_path / "ramp.png", 640, 360), WIDTH, HEIGHT, Camera((STILL,)))
    frame = luma(picture, 0.5)
    assert frame[0, 0] == pytest.approx(16, abs=2)
    assert frame[-1, -1] == pytest.approx(16 + 254 / 255 * 219, abs=2)


@pytest.mark.parametrize(
    ("move", "brighter"),
    [(Move(pan=1), 1), (Move(pan=-1), -1), (Move(tilt=1), 1), (Move(tilt=-1), -1)],
)
@pytest.mark.parametrize("size", [(640, 360), (400, 900), (900, 200)])
def test_goes_where_it_should(
    tmp_path: Path, move: Move, brighter: int, size: tuple[int, int]
) -> None:
    picture = Picture(ramp(tmp_path / "ramp.png", *size), WIDTH, HEIGHT, Camera((move,)))
    assert (luma(picture, 1).mean() - luma(picture, 0).mean()) * brighter > 5


def test_a_roll_clockwise_turns_the_picture_the_other_way(tmp_path: Path) -> None:
    half = np.zeros((360, 640), np.uint8)
    half[180:] = 255
    Image.fromarray(half).save(tmp_path / "horizon.png")
    frame = luma(Picture(tmp_path / "horizon.png", WIDTH, HEIGHT, Camera((Move(roll=1),))), 1)
    ground = (frame > 128).sum(axis=0)
    assert ground[-20:].mean() - ground[:20].mean() > 20


def test_an_orbit_keeps_lines_straight_and_brings_one_side_nearer(tmp_path: Path) -> None:
    bars = np.zeros((720, 1280), np.uint8)
    bars[:, 200:240] = bars[:, 1040:1080] = 255
    Image.fromarray(bars).save(tmp_path / "bars.png")
    frame = luma(Picture(tmp_path / "bars.png", WIDTH, HEIGHT, Camera((Move(orbit=1),))), 1) - 16
    halves = frame[:, : WIDTH // 2].sum(axis=1), frame[:, WIDTH // 2 :].sum(axis=1)
    assert halves[1].mean() > 1.03 * halves[0].mean()
    places = (frame[:, : WIDTH // 2] * np.arange(WIDTH // 2)).sum(axis=1) / halves[0]
    line = np.polyval(np.polyfit(np.arange(HEIGHT), places, 1), np.arange(HEIGHT))
    assert np.abs(places - line).max() < 0.1


def test_a_distant_part_of_a_long_picture_is_not_kept(tmp_path: Path) -> None:
    camera = Camera((STILL,))
    long = Sheet(plain(tmp_path / "long.png", "white", (40, 4000)), WIDTH, HEIGHT, camera)
    usual = Sheet(plain(tmp_path / "usual.png", "white"), WIDTH, HEIGHT, camera)
    assert long.planes.y.shape == usual.planes.y.shape


@pytest.mark.parametrize(
    ("words", "count", "source"),
    [
        ("push in", 8, (64, 36)),
        ("zoom in", 170, (64, 36)),
        ("pan left", 170, (64, 36)),
        ("pan left and push in fast", 40, (900, 100)),
        ("tilt up and roll clockwise and push in", 40, (100, 900)),
    ],
)
def test_a_sheet_stays_small_however_many_moves(
    tmp_path: Path, words: str, count: int, source: tuple[int, int]
) -> None:
    camera = Camera(parse(", then ".join([words] * count)))
    sheet = Sheet(plain(tmp_path / "white.png", "white", source), 1920, 1080, camera)
    assert sheet.planes.buffer.nbytes <= 25e6
    frame = Planes.blank(1920, 1080)
    for share in (0, 0.5, 1):
        sheet.expose(share, frame)
        assert frame.y.min() >= 234


class TestEnd:
    def pair(self, tmp_path: Path) -> Picture:
        start = plain(tmp_path / "start.png", "black")
        end = plain(tmp_path / "end.png", "white", (30, 70))
        return Picture(start, WIDTH, HEIGHT, Camera((Move(zoom=1),)), end)

    def test_appears_over_the_last_third(self, tmp_path: Path) -> None:
        picture = self.pair(tmp_path)
        levels = [luma(picture, share).mean() for share in (0, 0.66, 0.75, 5 / 6, 0.9, 1)]
        assert levels[:2] == [16, 16]
        assert levels == sorted(levels)
        assert levels[3] == pytest.approx((16 + 235) / 2, abs=2)
        assert levels[-1] == pytest.approx(235, abs=1)

    def test_from_two_threads_as_from_one(self, tmp_path: Path) -> None:
        picture = self.pair(tmp_path)
        shares = [number / 40 for number in range(41)]
        alone = [shown(picture, share) for share in shares]
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(lambda share: shown(picture, share), shares))
        assert all(map(np.array_equal, alone, together))
