"""Every field of every request: values that are taken, to the bounds, and values that are not."""

from functools import cache

import pytest

from squero.wire.models import MODEL_TYPES
from squero.wire.video import (
    CompleteVideoRequest,
    QueueVideoRequest,
    QuoteVideoRequest,
    RetrieveVideoRequest,
)
from tests.media.samples import data_url, film, recording, still

pytestmark = pytest.mark.anyio

MODEL = "motion-text-to-video"
WAN = "wan-2.5-preview-text-to-video"
ABSENT = object()
ORDER = {"model": MODEL, "prompt": "a lagoon", "duration": "5s", "resolution": "480p"}
TAKES = {
    "image_url": "motion-image-to-video",
    "end_image_url": "motion-image-to-video",
    "video_url": "motion-video-to-video",
}


@cache
def sample(kind):
    """A small file of the kind as a data URL."""
    form, _, seconds = str(kind).partition(" ")
    match form:
        case "png" | "jpeg" | "webp" | "gif":
            return data_url(still(form))
        case "wav":
            return data_url(recording(float(seconds), rate=8000, layout="mono"))
        case "mp3":
            return data_url(recording(float(seconds), form="mp3", codec="libmp3lame"))
        case "webm":
            return data_url(film(24, form="webm", codec="libvpx"))
        case _:
            return data_url(film(range(0, round(24 * float(seconds or 1)), 6), form=form))


class Media(str):
    """A kind of file, in the place of its data URL until that is sent."""


def files(*kinds):
    return [Media(kind) for kind in kinds]


NO_URLS = [5, None, [], "", "a.png", "file:///etc/passwd", "data:,x", "https://u:p@a.test/"]
NO_TEXT = [5, None, True, [], {}]

# Field by field what is taken and what is not.
QUEUE = {
    "model": ([MODEL, WAN], [*NO_TEXT, ABSENT]),
    "prompt": (["p", "é" * 2500], [*NO_TEXT, ABSENT, "", "p" * 2501, "\0"]),
    "negative_prompt": (["", "n" * 2500, ABSENT], [*NO_TEXT, "n" * 2501, "\0"]),
    "duration": (["5s", "10s"], [*NO_TEXT, ABSENT, "", "5", "7s", "5S", " 5s"]),
    "aspect_ratio": (["16:9", "9:16", "1:1", None, ABSENT], [5, 1.5, [], "", "3:2", "16/9"]),
    "resolution": (["480p", "720p", "1080p", ABSENT], [*NO_TEXT, "", "4k", "720", "720P"]),
    "audio": ([True, False, None, ABSENT], ["true", 1, 0, "", []]),
    "image_url": (
        files("png", "jpeg", "webp"),
        [*NO_URLS, ABSENT, *files("gif", "mp4", "wav 3")],
    ),
    "end_image_url": (
        [*files("png", "jpeg", "webp"), ABSENT],
        [*NO_URLS, *files("gif", "mp4", "wav 3")],
    ),
    "audio_url": (
        [*files("wav 3", "wav 30", "mp3 3"), ABSENT],
        [*NO_URLS, *files("wav 2.9", "wav 30.2", "png", "mp4")],
    ),
    "video_url": (
        files("mp4 1", "mp4 30", "mov", "webm"),
        [*NO_URLS, ABSENT, *files("mp4 0.5", "mp4 31", "png", "matroska", "wav 3")],
    ),
}
JOB = {
    "model": ([MODEL], [*NO_TEXT, ABSENT]),
    "queue_id": ([], [*NO_TEXT, ABSENT]),
}
RETRIEVE = JOB | {
    "delete_media_on_completion": ([True, False, ABSENT], ["true", 1, 0, None, []]),
}
QUOTE = {
    "model": ([MODEL, WAN], [*NO_TEXT, ABSENT]),
    "duration": (["5s", "10s"], [*NO_TEXT, ABSENT, "", "7s"]),
}
# What a quote drops when it cannot be, and what a good value makes of the price.
DROPPED = {
    "aspect_ratio": ([("9:16", 0.1)], [5, [], "3:2"]),
    "resolution": ([("480p", 0.05), ("1080p", 0.2)], [5, None, [], "4k"]),
    "audio": ([(True, 0.1), (False, 0.1)], ["true", 5, None]),
}


def cases(table, which):
    """Each field with each of its values, named so that a test says which."""
    return [
        pytest.param(
            field, value, id=f"{field}={'absent' if value is ABSENT else repr(value)[:30]}"
        )
        for field, values in table.items()
        for value in values[which]
    ]


def changed(asked, field, value):
    """The request with this value in this field, on a model that takes it."""
    asked = asked | {field: sample(value) if isinstance(value, Media) else value}
    return {name: value for name, value in asked.items() if value is not ABSENT}


def order(field, value):
    asked = ORDER | {"model": TAKES.get(field, MODEL)}
    if field == "end_image_url":
        asked["image_url"] = sample("png")
    return changed(asked, field, value)


def fields_refused(answer):
    """The fields that a 400 is about."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "Invalid request parameters"
    assert all(body["details"][issue["path"][0]]["_errors"] for issue in body["issues"])
    return {issue["path"][0] for issue in body["issues"]}


@pytest.fixture
async def post(http, open_tenant):
    """Makes a call with a key: `await post("queue", body)`."""
    tenant = await open_tenant()

    async def make(call, body):
        return await http.post(f"/api/v1/video/{call}", json=body, headers=tenant.headers)

    return make


@pytest.fixture
async def job(post):
    return (await post("queue", ORDER)).json()


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (QueueVideoRequest, QUEUE),
        (QuoteVideoRequest, QUOTE | DROPPED),
        (RetrieveVideoRequest, RETRIEVE),
        (CompleteVideoRequest, JOB),
    ],
)
def test_every_field_is_here(kind, table):
    assert table.keys() == kind.model_fields.keys()
    assert all(good or field == "queue_id" for field, (good, _) in table.items())
    assert all(bad for _, bad in table.values())


class TestQueue:
    @pytest.mark.parametrize(("field", "value"), cases(QUEUE, 0))
    async def test_takes(self, post, field, value):
        answer = await post("queue", order(field, value))
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"model", "queue_id"}

    @pytest.mark.parametrize(("field", "value"), cases(QUEUE, 1))
    async def test_refuses(self, post, field, value):
        assert fields_refused(await post("queue", order(field, value))) == {field}


class TestQuote:
    @pytest.mark.parametrize(("field", "value"), cases(QUOTE, 0))
    async def test_takes(self, http, field, value):
        answer = await http.post("/api/v1/video/quote", json=changed(ORDER, field, value))
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"quote"}

    @pytest.mark.parametrize(("field", "value"), cases(QUOTE, 1))
    async def test_refuses(self, http, field, value):
        answer = await http.post("/api/v1/video/quote", json=changed(ORDER, field, value))
        assert fields_refused(answer) == {field}

    @pytest.mark.parametrize(("field", "priced"), cases(DROPPED, 0))
    async def test_heeds(self, http, field, priced):
        value, price = priced
        asked = {"model": MODEL, "duration": "5s", field: value}
        assert (await http.post("/api/v1/video/quote", json=asked)).json() == {"quote": price}

    @pytest.mark.parametrize(("field", "value"), cases(DROPPED, 1))
    async def test_drops(self, http, field, value):
        asked = {"model": MODEL, "duration": "5s", field: value}
        assert (await http.post("/api/v1/video/quote", json=asked)).json() == {"quote": 0.1}


@pytest.mark.parametrize("call", ["retrieve", "complete"])
class TestJob:
    @pytest.mark.parametrize(("field", "value"), cases(JOB, 1))
    async def test_refuses(self, post, job, call, field, value):
        assert fields_refused(await post(call, changed(job, field, value))) == {field}

    async def test_takes_both(self, post, job, call):
        assert (await post(call, job)).status_code == 200


class TestRetrieve:
    @pytest.mark.parametrize(("field", "value"), cases(RETRIEVE, 0))
    async def test_takes(self, post, job, field, value):
        answer = await post("retrieve", changed(job, field, value))
        assert answer.json()["status"] == "PROCESSING"

    @pytest.mark.parametrize("value", RETRIEVE["delete_media_on_completion"][1])
    async def test_refuses(self, post, job, value):
        field = "delete_media_on_completion"
        assert fields_refused(await post("retrieve", changed(job, field, value))) == {field}


class TestModels:
    @pytest.mark.parametrize("kind", MODEL_TYPES)
    async def test_takes(self, http, kind):
        answer = await http.get("/api/v1/models", params={"type": kind})
        assert (answer.status_code, answer.json()["type"]) == (200, kind)
        assert bool(answer.json()["data"]) == (kind in ("video", "all"))

    @pytest.mark.parametrize("kind", ["", "smell", "Video", " video", "video,text", "\0", "é" * 99])
    async def test_refuses(self, http, kind):
        answer = await http.get("/api/v1/models", params={"type": kind})
        assert fields_refused(answer) == {"type"}
