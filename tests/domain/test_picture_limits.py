"""A model's limits on pictures: at the bound, past it, and none."""

from pathlib import Path

import pytest

import squero
from squero.domain import catalog, picture_limits
from squero.errors import InvalidRequest
from squero.media.look import Footage, Picture

MODELS = catalog.load(Path(squero.__file__).parent / "models").models
LIMITED = MODELS["seedance-1-5-pro-image-to-video-basic"]
FREE = MODELS["motion-image-to-video"]


def picture(width, height, drawn=(64, 64)):
    return Picture(*drawn, width, height, "image/png", 1)


def told(model, **found):
    """The issues, by field, code and the first words."""
    try:
        picture_limits.check(model, found)
    except InvalidRequest as wrong:
        return [(one.path, one.code, one.message.partition(":")[0]) for one in wrong.issues]
    return []


@pytest.mark.parametrize("size", [(300, 300), (300, 750), (750, 300), (400, 1000), (7000, 2800)])
def test_at_the_bound(size):
    assert told(LIMITED, image=picture(*size)) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((299, 400), [("too_small", "Image dimensions are too small")]),
        ((400, 299), [("too_small", "Image dimensions are too small")]),
        ((399, 1000), [("too_small", "Image is too tall")]),
        ((1001, 400), [("too_big", "Image is too wide")]),
        (
            (1000, 200),
            [("too_small", "Image dimensions are too small"), ("too_big", "Image is too wide")],
        ),
    ],
)
def test_past_it(size, expected):
    assert told(LIMITED, image=picture(*size)) == [(("image_url",), *one) for one in expected]


def test_every_picture_counts_and_nothing_else():
    footage = Footage(10, 10, 24, 24.0, 1.0, False, "video/mp4", 1)
    found = {"image": picture(100, 100), "end_image": picture(100, 101), "video": footage}
    assert [path for path, *_ in told(LIMITED, **found)] == [("image_url",), ("end_image_url",)]


def test_without_limits_everything_goes():
    assert told(FREE, image=picture(64, 3840), end_image=picture(3840, 64)) == []


def test_one_limit_alone():
    kept = FREE.constraints.model_copy(update={"reference_image_max_aspect_ratio": 1.0})
    square = FREE.model_copy(update={"constraints": kept})
    assert told(square, image=picture(64, 3840)) == []
    assert told(square, image=picture(65, 64)) == [(("image_url",), "too_big", "Image is too wide")]


def test_the_words_say_what_to_do():
    with pytest.raises(InvalidRequest) as wrong:
        picture_limits.check(LIMITED, {"image": picture(200, 1000)})
    assert [issue.message for issue in wrong.value.issues] == [
        "Image dimensions are too small: it is 200x1000 pixels, and this model needs at least 300"
        " on its shorter side. Send a larger one",
        "Image is too tall: it is 200x1000 pixels, and width / height must be at least 0.4 for"
        " this model. Crop it at top or bottom",
    ]
