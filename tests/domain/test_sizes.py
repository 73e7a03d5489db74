"""Sizes: every one that a model is said to make, it makes."""

from pathlib import Path

import pytest

import squero
from squero.domain import catalog
from squero.domain.clip import frame_size
from squero.domain.sizes import sizes
from squero.domain.video_request import VideoRequest, check

MODELS = catalog.load(Path(squero.__file__).parent / "models").models


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_is_what_the_model_makes_of_it(model):
    for size, named in sizes(model).items():
        media = dict.fromkeys(model.needed, "https://a.test/a")
        request = VideoRequest(
            model.id, "p", model.constraints.durations[0], "", *named, media=media
        )
        width, height = frame_size(check(model, request), (4, 3))
        assert size == f"{width}x{height}"


def test_of_motion_are_its_resolutions_by_its_ratios():
    found = sizes(MODELS["motion-text-to-video"])
    assert len(found) == 9
    assert found["720x1280"] == ("720p", "9:16")


def test_of_a_model_that_follows_its_picture_are_none():
    assert sizes(MODELS["grok-imagine-image-to-video"]) == {}


def test_of_a_model_that_lists_nothing_is_the_one_it_has():
    listed = MODELS["motion-text-to-video"].constraints
    bare = listed.model_copy(update={"resolutions": (), "aspect_ratios": ()})
    model = MODELS["motion-text-to-video"].model_copy(update={"constraints": bare})
    assert sizes(model) == {"1280x720": (None, None)}
