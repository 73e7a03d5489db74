"""Every model that the engine motion serves gives what was asked for, whoever asks.

The models of our own are rendered as they are, at their smallest size; the stand-ins and the larger
sizes as slates, since it is the same engine with the same file at the end.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from squero.domain import catalog
from squero.domain.clip import FPS, frame_size
from squero.domain.model import SIZES, Model
from squero.domain.video_request import VideoRequest, check
from squero.engines.motion import Motion
from squero.shot import Shot
from tests.media.samples import film, recording, still

pytestmark = [pytest.mark.motion, pytest.mark.timeout(300)]

SERVED = [
    model
    for model in catalog.load(Path(catalog.__file__).parents[1] / "models").models.values()
    if model.engine == "motion"
]
OWN = [one for one in SERVED if one.id.startswith("motion-") and not one.options]
PROMPT = "slow push in over the lagoon at dusk"
SMALLEST_BYTES = 100_000
"""A client of the hosted API takes anything smaller for an error."""


class Probe(NamedTuple):
    """What a player is told, and what it then finds."""

    size: tuple[int, int]
    frames: int
    seconds: Fraction
    codecs: tuple[str, str]
    sound: tuple[str, int, int, Fraction] | None


def probe(path: Path) -> Probe:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        sound = None
        for track in container.streams.audio:
            assert track.duration is not None and track.time_base is not None
            seconds = track.duration * track.time_base
            sound = (track.codec_context.name, track.channels, track.rate, seconds)
        assert video.duration is not None and video.time_base is not None
        assert context.pix_fmt is not None
        return Probe(
            (context.width, context.height),
            sum(1 for _ in container.decode(video)),
            video.duration * video.time_base,
            (context.name, context.pix_fmt),
            sound,
        )


def expected(shot: Shot) -> Probe:
    seconds = Fraction(shot.frames, shot.fps)
    sound = ("aac", 2, 48_000, seconds) if shot.audio else None
    return Probe((shot.width, shot.height), shot.frames, seconds, ("h264", "yuv420p"), sound)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    contents = {
        "image_url": still("jpeg"),
        "end_image_url": still("png"),
        "audio_url": recording(3),
        "video_url": film(range(0, 48, 2)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def slates() -> Motion:
    engine = Motion(instant=True)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def motion() -> Motion:
    engine = Motion()
    engine.load()
    return engine


def asked(model: Model) -> Iterator[VideoRequest]:
    """Its first and its last duration, every resolution and every aspect ratio, each once."""
    listed = model.constraints
    media = dict.fromkeys(model.needed, "https://a.test/")
    first, last = listed.durations[0], listed.durations[-1]
    for duration in dict.fromkeys((first, last)):
        yield VideoRequest(model.id, PROMPT, duration, resolution=smallest(model), media=media)
    for resolution in listed.resolutions:
        yield VideoRequest(model.id, PROMPT, first, resolution=resolution, media=media)
    for ratio in listed.aspect_ratios:
        yield VideoRequest(
            model.id, PROMPT, first, resolution=smallest(model), aspect_ratio=ratio, media=media
        )


def smallest(model: Model) -> str | None:
    listed = model.constraints.resolutions
    return min(listed, key=lambda name: SIZES[name][1]) if listed else None


def shot_of(model: Model, request: VideoRequest, media: dict[str, Path]) -> Shot:
    """What a worker would be handed for the request, with every kind of media that it may have."""
    clip = check(model, request)
    width, height = frame_size(clip, (400, 300))
    sent = {name.removesuffix("_url"): media[name] for name in model.takes - {"audio_url"}}
    return Shot(PROMPT, width, height, clip.frames, FPS, 5, audio=clip.audio, media=sent)


@pytest.mark.parametrize("model", SERVED, ids=lambda model: model.id)
def test_of_every_model_a_slate(
    model: Model, slates: Motion, media: dict[str, Path], tmp_path: Path
) -> None:
    shots = {}
    for request in asked(model):
        shot = shot_of(model, request, media)
        shots[shot.width, shot.height, shot.frames] = shot
    assert shots
    out = tmp_path / "out.mp4"
    for shot in shots.values():
        slates.render(shot, out, lambda share: None)
        assert probe(out) == expected(shot)
        assert out.stat().st_size >= SMALLEST_BYTES


@pytest.mark.parametrize("index", [0, -1], ids=["shortest", "longest"])
@pytest.mark.parametrize("model", OWN, ids=lambda model: model.id)
def test_of_our_own_models_the_video(
    model: Model, index: int, motion: Motion, media: dict[str, Path], tmp_path: Path
) -> None:
    request = next(iter(asked(model)))
    request.duration = model.constraints.durations[index]
    shot, out = shot_of(model, request, media), tmp_path / "out.mp4"
    motion.render(shot, out, lambda share: None)
    assert probe(out) == expected(shot)
    assert out.stat().st_size >= SMALLEST_BYTES


def test_there_is_something_to_probe() -> None:
    assert len(OWN) == 3
    assert len(SERVED) >= 100
