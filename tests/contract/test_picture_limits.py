"""Limits on pictures, in the names of the live object that was captured: told, and kept."""

import io
import json
from pathlib import Path

import pytest
from openapi_schema_validator import OAS30Validator
from PIL import Image

from squero.wire.openapi import document
from tests.media.samples import data_url

pytestmark = pytest.mark.anyio

CONTRACT = json.loads(Path(__file__).with_name("contract-2025-12-30.json").read_text("utf-8"))
REFUSAL = CONTRACT["answers"]["/video/queue"]["400"]["application/json"]
SEEDANCE = "seedance-1-5-pro-image-to-video-basic"
ORDER = {"model": SEEDANCE, "prompt": "a lagoon", "duration": "4s", "resolution": "480p"}
BOTH_ENDS = "motion-image-to-video"
LIMITS = {
    "reference_image_min_short_side_pixels": 300,
    "reference_image_min_aspect_ratio": 0.4,
    "reference_image_max_aspect_ratio": 2.5,
}
SIDEWAYS = 6
PRICE_MICROS = 200_000
"""What ORDER costs."""


def image(width, height, form="PNG", orientation=1):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), "teal").save(file, form, exif=exif)
    return data_url(file.getvalue())


@pytest.fixture
async def tenant(open_tenant):
    return await open_tenant()


@pytest.fixture
def queue(http, tenant):
    async def make(**changes):
        body = ORDER | changes
        return await http.post("/api/v1/video/queue", json=body, headers=tenant.headers)

    return make


@pytest.fixture
def with_limits(yard, monkeypatch):
    """The model that takes a picture at both ends has the limits too."""
    model = yard.catalog.models[BOTH_ENDS]
    limits = model.constraints.model_copy(update=LIMITS)
    limited = model.model_copy(update={"constraints": limits})
    monkeypatch.setitem(yard.catalog.models, BOTH_ENDS, limited)


def refused(answer, fields=("image_url",)):
    """The issues of a 400 in the contract's shape."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    OAS30Validator(REFUSAL).validate(body)
    assert body["error"] == "Invalid request parameters"
    assert {tuple(issue["path"]) for issue in body["issues"]} == {(field,) for field in fields}
    for issue in body["issues"]:
        assert issue["message"] in body["details"][issue["path"][0]]["_errors"]
    return body["issues"]


class TestModels:
    async def test_tells_the_limits_of_the_model_that_has_some(self, http):
        listed = (await http.get("/api/v1/models?type=video")).json()["data"]
        told = {one["id"]: one["model_spec"]["constraints"] for one in listed}
        assert told[SEEDANCE].items() >= LIMITS.items()
        assert list(told.pop(SEEDANCE))[-3:] == list(LIMITS)
        assert not [name for one in told.values() for name in one if name in LIMITS]

    def test_the_document_says_that_they_may_be_absent(self):
        told = document("1")["components"]["schemas"]["VideoConstraints"]
        assert told["properties"].keys() >= LIMITS.keys()
        assert told["properties"].keys() - set(told["required"]) == LIMITS.keys()


class TestQueue:
    @pytest.mark.parametrize("size", [(640, 360), (300, 300), (300, 750), (750, 300)])
    async def test_takes_up_to_the_bound(self, queue, size):
        answer = await queue(image_url=image(*size))
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize(
        ("size", "code", "words"),
        [
            ((299, 400), "too_small", "too small: it is 299x400 pixels"),
            ((299, 748), "too_small", "too small: it is 299x748 pixels"),
            ((300, 751), "too_small", "too tall: it is 300x751 pixels"),
            ((751, 300), "too_big", "too wide: it is 751x300 pixels"),
        ],
    )
    async def test_refuses_past_it(self, queue, size, code, words):
        answer = await queue(image_url=image(*size))
        issue = next(one for one in refused(answer) if words in one["message"])
        assert issue["code"] == code

    async def test_a_refusal_moves_no_money_and_leaves_no_media(self, http, open_tenant, yard):
        tenant, url = await open_tenant(credit_micros=PRICE_MICROS), "/api/v1/video/queue"
        small, good = (ORDER | {"image_url": image(side, side)} for side in (100, 300))
        refused(await http.post(url, json=small, headers=tenant.headers))
        media = yard.settings.home / "media"
        left = [path for path in media.rglob("*") if path.is_file() and "keys" not in path.parts]
        assert left == []
        answers = [await http.post(url, json=good, headers=tenant.headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 402]

    async def test_counts_what_was_sent_upright(self, queue):
        issues = refused(await queue(image_url=image(900, 300, "JPEG", SIDEWAYS)))
        assert ["too tall: it is 300x900" in one["message"] for one in issues] == [True]
        assert (await queue(image_url=image(750, 300, "JPEG", SIDEWAYS))).status_code == 200

    async def test_counts_what_was_sent_before_it_was_made_smaller(self, queue):
        # 3840 pixels are left of its longer side, and 1536 of its shorter.
        assert (await queue(image_url=image(7000, 2800, "JPEG"))).status_code == 200
        issues = refused(await queue(image_url=image(7001, 2800, "JPEG")))
        assert ["too wide: it is 7001x2800" in one["message"] for one in issues] == [True]

    async def test_heeds_both_ends(self, queue, with_limits):
        asked = {"model": BOTH_ENDS, "duration": "5s"}
        good, small = image(400, 300), image(200, 200)
        assert (await queue(**asked, image_url=good, end_image_url=good)).status_code == 200
        last = await queue(**asked, image_url=good, end_image_url=small)
        refused(last, fields=("end_image_url",))
        both = await queue(**asked, image_url=small, end_image_url=small)
        assert len(refused(both, fields=("image_url", "end_image_url"))) == 2

    async def test_other_models_take_what_they_took(self, queue):
        asked = {"model": BOTH_ENDS, "duration": "5s"}
        answer = await queue(**asked, image_url=image(64, 400), end_image_url=image(400, 64))
        assert answer.status_code == 200, answer.text
