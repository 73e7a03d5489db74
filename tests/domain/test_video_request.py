"""What a request comes to with a model: its sound and its resolution, or why it is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

import squero
from squero.domain import catalog
from squero.domain.video_request import VideoRequest, check, clip
from squero.errors import InvalidRequest

MODELS = catalog.load(Path(squero.__file__).parent / "models").models
SILENT = MODELS["wan-2-7-image-to-video"]


def test_has_the_sound_that_is_brought():
    asked = VideoRequest(SILENT.id, "p", SILENT.constraints.durations[0])
    assert not clip(SILENT, asked).audio
    media = {"image_url": "https://a.test/", "audio_url": "https://a.test/"}
    assert check(SILENT, replace(asked, media=media)).audio


def test_cannot_be_silent_with_a_sound():
    model = MODELS["motion-text-to-video"]
    media = {"audio_url": "https://a.test/"}
    asked = VideoRequest(model.id, "p", "5s", audio=False, media=media)
    with pytest.raises(InvalidRequest) as told:
        check(model, asked)
    assert [issue.path for issue in told.value.issues] == [("audio",)]


@pytest.mark.parametrize("name", ["pixverse-c1-transition", "pixverse-v5.6-transition"])
def test_of_a_transition_both_ends_are_required(name):
    model = MODELS[name]
    both = dict.fromkeys(("image_url", "end_image_url"), "https://a.test/")
    asked = VideoRequest(model.id, "p", "5s", media=both)
    assert check(model, asked).frames == 120
    for missing in both:
        some = {field: url for field, url in both.items() if field != missing}
        with pytest.raises(InvalidRequest) as told:
            check(model, replace(asked, media=some))
        (issue,) = told.value.issues
        assert (issue.path, issue.message) == ((missing,), "Field is required")


@pytest.mark.parametrize(("limit", "least"), [(40, 2500), (2500, 2500), (3500, 3500)])
def test_a_short_limit_is_the_prompts_alone(limit, least):
    model = MODELS["motion-text-to-video"]
    limits = model.constraints.model_copy(update={"prompt_character_limit": limit})
    model = model.model_copy(update={"constraints": limits})
    check(model, VideoRequest(model.id, "p" * limit, "5s", "n" * least))
    with pytest.raises(InvalidRequest) as told:
        check(model, VideoRequest(model.id, "p" * (limit + 1), "5s", "n" * (least + 1)))
    assert [(issue.path, issue.message) for issue in told.value.issues] == [
        (("prompt",), f"String must contain at most {limit} character(s)"),
        (("negative_prompt",), f"String must contain at most {least} character(s)"),
    ]


def test_of_a_model_without_resolutions():
    model = MODELS["kling-2.6-pro-text-to-video"]
    asked = VideoRequest(model.id, "p", "5s")
    assert check(model, asked).resolution == "720p"
    with pytest.raises(InvalidRequest) as told:
        check(model, replace(asked, resolution="720p"))
    (issue,) = told.value.issues
    assert issue.message == "This model does not support resolution"
