"""Text to video: what the words choose, that layers move apart, and that the seed decides."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from squero.engines.motion.planes import Planes
from squero.engines.motion.scene import Scene, camera_of
from squero.engines.motion.scene.layer import Canvas
from squero.engines.motion.scene.palette import palette_of
from squero.engines.motion.scene.stage import BOTTOM, HORIZON, SKY, Pose, Stage
from squero.engines.motion.scene.water import Water
from squero.engines.motion.scene.words import FEATURES, features, read
from squero.shot import Shot

ShotOf = Callable[..., Shot]
Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 320, 180


@pytest.fixture
def seen(shot_of: ShotOf) -> Callable[..., Picture]:
    """The scene's frame of a prompt at a share of the clip, in Y, U and V as PyAV reads them."""

    def frame(prompt: str, share: float = 0.5, **changes: object) -> Picture:
        shot = shot_of(prompt, **({"width": WIDTH, "height": HEIGHT, "frames": 60} | changes))
        return exposed(Scene(shot), shot, share)

    return frame


def exposed(scene: Scene, shot: Shot, share: float) -> Picture:
    planes = Planes.blank(shot.width, shot.height)
    scene.expose(share, planes)
    return planes.buffer


def luma(frame: Picture) -> Picture:
    return frame[: frame.shape[0] * 2 // 3]


def redness(frame: Picture) -> float:
    """The mean of V, which is high where it is red and low where it is green or blue."""
    return float(Planes.over(frame).v.mean())


class TestSeed:
    @pytest.mark.parametrize(
        "prompt", ["a city at night in the rain", "snow on a lake", "campfire and fireflies"]
    )
    def test_the_same_shot_gives_the_same_frames(
        self, seen: Callable[..., Picture], prompt: str
    ) -> None:
        assert np.array_equal(seen(prompt, 0.3), seen(prompt, 0.3))

    def test_another_seed_gives_another_scene(self, seen: Callable[..., Picture]) -> None:
        assert not np.array_equal(seen("mountains", seed=1), seen("mountains", seed=2))

    def test_a_negative_seed_will_do(self, seen: Callable[..., Picture]) -> None:
        assert seen("hills", seed=-5).any()

    def test_frames_do_not_depend_on_order_or_thread(self, shot_of: ShotOf) -> None:
        shot = shot_of("lightning and rain over the sea, birds", width=WIDTH, height=HEIGHT)
        scene = Scene(shot)
        shares = [0.9, 0.1, 0.5, 0.2, 0.7, 0.4]
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(lambda share: exposed(scene, shot, share), shares))
        for share, frame in zip(shares, together, strict=True):
            assert np.array_equal(frame, exposed(Scene(shot), shot, share))


class TestWords:
    @pytest.mark.parametrize(
        ("prompt", "hour", "some"),
        [
            ("a city skyline at night in the rain", "night", {"city", "rain"}),
            ("Snow falling over a mountain lake at dawn", "dawn", {"snow", "mountains", "lake"}),
            ("desert dunes under a huge sun", "sunset", {"desert", "sun", "huge"}),
            ("lightning over the sea", "night", {"lightning", "sea"}),
            ("cyberpunk street", "night", {"city", "street", "neon"}),
            ("the galaxy", "night", {"space"}),
        ],
    )
    def test_are_read(self, shot_of: ShotOf, prompt: str, hour: str, some: set[str]) -> None:
        setting = read(shot_of(prompt))
        assert setting.hour == hour
        assert some <= setting.features

    @pytest.mark.parametrize(
        "prompt", ["the sea without any clouds", "the sea, no clouds", "the sea, never clouds"]
    )
    def test_what_is_ruled_out_is_not_seen(self, prompt: str) -> None:
        assert features(prompt) == {"sea"}

    def test_the_negative_prompt_rules_out(self, shot_of: ShotOf) -> None:
        setting = read(shot_of("a city in the rain", negative_prompt="rain, fog"))
        assert setting.has("city")
        assert not setting.has("rain")

    def test_a_title_is_not_a_place(self) -> None:
        assert features("“The Desert” on a lake") == {"lake"}

    def test_a_colour_belongs_to_what_follows_it(self, shot_of: ShotOf) -> None:
        setting = read(shot_of("a turquoise lagoon under a pink sky"))
        assert setting.ground == "#35c5c0"
        assert setting.colours == ("#f28ab5",)

    def test_no_place_is_chosen_beside_a_picture(self, shot_of: ShotOf, tmp_path: object) -> None:
        assert not read(shot_of("a red car", media={"image": tmp_path})).features
        assert read(shot_of("a red car")).features

    @pytest.mark.parametrize("name", sorted(FEATURES))
    def test_every_feature_can_be_drawn(self, seen: Callable[..., Picture], name: str) -> None:
        frame = seen(f"{EXAMPLES.get(name, name)}", width=128, height=72, frames=12)
        assert name in features(EXAMPLES.get(name, name))
        assert luma(frame).std() > 3


EXAMPLES = {"leaves": "falling leaves", "rings": "a ringed planet", "dusk": "twilight"}


class TestPalette:
    def test_hours_differ_in_light(self, seen: Callable[..., Picture]) -> None:
        levels = [luma(seen(f"mountains at {hour}")).mean() for hour in ("night", "dusk", "noon")]
        assert levels[0] < levels[1] < levels[2]

    def test_a_named_colour_tints_the_picture(self, seen: Callable[..., Picture]) -> None:
        plain = redness(seen("hills at noon"))
        assert redness(seen("hills at noon in crimson light")) > plain + 4
        assert redness(seen("hills at noon in green light")) < plain - 2

    def test_sunset_is_warmer_than_noon(self, seen: Callable[..., Picture]) -> None:
        assert redness(seen("the sea at sunset")) > redness(seen("the sea at noon")) + 8

    def test_autumn_is_redder_than_summer(self, seen: Callable[..., Picture]) -> None:
        prompts = ("an autumn forest at noon", "a summer forest at noon")
        assert redness(seen(prompts[0])) > redness(seen(prompts[1])) + 2

    def test_no_colour_leaves_the_range(self, shot_of: ShotOf) -> None:
        for colour in ("yellow", "turquoise", "red", "silver"):
            palette = palette_of(read(shot_of(f"{colour} and cyan sky at noon")))
            assert 0 <= palette.sky.min() <= palette.sky.max() <= 1


class TestCamera:
    @pytest.mark.parametrize(("words", "way"), [("right", -1), ("left", 1)])
    def test_layers_move_apart_under_a_pan(
        self, seen: Callable[..., Picture], words: str, way: int
    ) -> None:
        prompt = f"a field of flowers at noon, clear sky, the camera pans {words}"
        first, last = (luma(seen(prompt, share, fps=120)) for share in (0.45, 0.55))
        bands = {"ridges": (95, 112), "feet": (160, 178)}
        moved = {name: shift(first[a:b], last[a:b]) for name, (a, b) in bands.items()}
        assert way * moved["ridges"] > 0
        assert way * moved["feet"] > way * 2 * moved["ridges"]

    def test_a_push_enlarges_what_is_near_more(self, shot_of: ShotOf) -> None:
        shot = shot_of("hills, push in", width=WIDTH, height=HEIGHT)
        stage = Stage((WIDTH, HEIGHT), 0.6, camera_of(shot), shot.seconds)
        zooms = {
            depth: stage.matrix(stage.pose(1), depth)[0, 0]
            / stage.matrix(stage.pose(0), depth)[0, 0]
            for depth in (SKY, HORIZON, BOTTOM)
        }
        assert 1.02 < zooms[SKY] < zooms[HORIZON] < zooms[BOTTOM] < 1.6

    def test_a_still_camera_leaves_ridges_where_they_are(
        self, seen: Callable[..., Picture]
    ) -> None:
        prompt = "a starless desert at noon, clear sky, static camera"
        first, last = (luma(seen(prompt, share, fps=120)) for share in (0.1, 0.9))
        assert np.abs(first[110:].astype(int) - last[110:]).mean() < 0.5

    @pytest.mark.parametrize("words", ["roll", "handheld", "orbit", "crane up", "pull out"])
    def test_no_edge_shows(self, seen: Callable[..., Picture], words: str) -> None:
        for share in (0.0, 0.5, 1.0):
            frame = luma(seen(f"desert at noon, {words}", share))
            corners = [frame[0, 0], frame[0, -1], frame[-1, 0], frame[-1, -1]]
            assert min(corners) > 30

    @pytest.mark.parametrize("size", [(98, 66), (180, 320), (250, 250), (96, 64)])
    def test_any_size_is_filled(self, seen: Callable[..., Picture], size: tuple[int, int]) -> None:
        frame = luma(seen("a meadow at noon", width=size[0], height=size[1]))
        assert frame.shape == size[::-1]
        assert frame.min() >= 10
        assert (frame < 20).mean() < 0.05


FAR_UP = [
    "a city, tilt up fast, then tilt up fast, then zoom out",
    "the camera tilts up, then tilts up, then tilts up, then tilts up",
    "a lake at dawn, tilt up fast, then pan left, then tilt up fast, then pull back",
    "a lake, tilt up then up then up then up then up",
    "a lake, whip tilt up then whip tilt up",
    "a forest, crane up fast, then tilt up fast, then rise further up",
    "a lake, whip tilt down then whip tilt down, handheld",
]
FAR = [
    *FAR_UP,
    "a field of flowers" + ", then pan left and tilt up fast" * 4,
    "a desert" + ", then pan right fast" * 5 + ", then tilt up fast" * 3,
    "a city" + ", then push in fast" * 170,
    "a street" + ", then pan left" * 170,
    "a forest" + ", then roll clockwise and pan left and tilt up fast" * 8,
]


class TestFarCamera:
    @pytest.mark.parametrize("prompt", FAR)
    @pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)])
    def test_what_it_sees_stays_small(
        self, shot_of: ShotOf, prompt: str, size: tuple[int, int]
    ) -> None:
        shot = shot_of(prompt, width=size[0], height=size[1])
        stage = Stage(size, 0.62, camera_of(shot), shot.seconds)
        for depth in (None, SKY, HORIZON, BOTTOM):
            canvas = Canvas(stage, stage.reach(depth))
            assert canvas.width * canvas.height * 3 * 4 <= 80e6

    @pytest.mark.parametrize("prompt", FAR)
    @pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (HEIGHT, WIDTH)])
    def test_the_ground_stays_below(
        self, shot_of: ShotOf, prompt: str, size: tuple[int, int]
    ) -> None:
        shot = shot_of(prompt, width=size[0], height=size[1])
        stage = Stage(size, 0.62, camera_of(shot), shot.seconds)
        poses = [stage.pose(step / 20) for step in range(21)]
        assert min(stage.plane(pose)[1, 1] for pose in poses) > 0.3 * size[1]
        assert all(0.4 < stage.skyline(pose) / size[1] < 1 for pose in poses)

    @pytest.mark.parametrize("size", [(854, 480), (WIDTH, HEIGHT)])
    @pytest.mark.parametrize("prompt", FAR_UP)
    def test_it_is_drawn(self, shot_of: ShotOf, prompt: str, size: tuple[int, int]) -> None:
        shot = shot_of(prompt, width=size[0], height=size[1])
        scene = Scene(shot)
        for share in (0.0, 0.5, 1.0):
            assert luma(exposed(scene, shot, share)).std() > 3

    def test_water_fills_a_frame_that_looks_down(self, shot_of: ShotOf) -> None:
        shot = shot_of("a lake at noon, static camera", width=WIDTH, height=HEIGHT)
        stage = Stage((WIDTH, HEIGHT), 0.62, camera_of(shot), shot.seconds)
        deep = np.array([0.1, 0.2, 0.3], np.float32)
        chance, palette = np.random.default_rng(1), palette_of(read(shot))
        water = Water(stage, chance, palette, swell=0.3, deep=deep, sun=None)
        frame = Planes.blank(WIDTH, HEIGHT)
        frame.buffer[:] = 128
        water.lay(Pose(0, 1.9, 1.0, 0.5), frame)
        assert frame.y[4:].std() > 0


class TestStirring:
    @pytest.mark.parametrize(
        "prompt",
        [
            "rain over the hills",
            "snow over the hills",
            "a lake at noon",
            "stars over the desert at night",
            "a campfire in the desert",
            "clouds over the desert, windy",
        ],
    )
    def test_something_moves_before_a_still_camera(
        self, seen: Callable[..., Picture], prompt: str
    ) -> None:
        first, last = (seen(f"{prompt}, static camera", share).astype(int) for share in (0.4, 0.6))
        assert np.abs(first - last).mean() > 0.1

    def test_lightning_flashes(self, shot_of: ShotOf) -> None:
        shot = shot_of("lightning over the sea", width=WIDTH, height=HEIGHT, frames=60)
        scene = Scene(shot)
        levels = [luma(exposed(scene, shot, share / 40)).mean() for share in range(41)]
        assert max(levels) > np.median(levels) + 8


def shift(first: Picture, last: Picture) -> float:
    """How many pixels the picture moved to the right."""
    smooth = (cv2.GaussianBlur(part.astype(np.float32), (0, 0), 1.0) for part in (first, last))
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (across, _), _ = cv2.phaseCorrelate(*smooth, window)
    return float(across)
