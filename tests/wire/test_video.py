"""What the video requests take before any model is asked."""

import pytest

from squero.wire.issues import parse
from squero.wire.video import (
    NEGATIVE_PROMPT,
    QueueVideoRequest,
    QuoteVideoRequest,
    RetrieveVideoRequest,
)

ASKED = {"model": "m", "prompt": "p", "duration": "5s"}


def test_defaults():
    asked = parse(QueueVideoRequest, ASKED)
    assert asked.negative_prompt == NEGATIVE_PROMPT
    assert asked.resolution is None
    assert asked.audio is None
    assert asked.media == {}


def test_media_by_field():
    asked = parse(QueueVideoRequest, ASKED | {"image_url": "https://a.test/b", "video_url": "c"})
    assert asked.media == {"image_url": "https://a.test/b", "video_url": "c"}


@pytest.mark.parametrize("value", [5, "720p", None, ["x"], {"a": 1}])
def test_quote_takes_anything_that_it_does_not_use(value):
    fields = {"model": "m", "duration": "5s", "resolution": value, "prompt": value, "x": value}
    assert parse(QuoteVideoRequest, fields).resolution == value


def test_retrieve_keeps_by_default():
    asked = parse(RetrieveVideoRequest, {"model": "m", "queue_id": "q"})
    assert asked.delete_media_on_completion is False
