"""Our answers held against the published schemas; `contract-2025-12-30.json` is cut from them."""

import json
from pathlib import Path

import pytest
from openapi_schema_validator import OAS30Validator

from squero.domain import generation
from squero.domain.poll import Working
from squero.errors import InferenceFailed, InputRejected, QueuedTooLong
from squero.wire.video import CompleteVideoRequest, QueueVideoRequest, RetrieveVideoRequest

pytestmark = pytest.mark.anyio

CONTRACT = json.loads(Path(__file__).with_name("contract-2025-12-30.json").read_text("utf-8"))
TEXT = {"model": "motion-text-to-video", "prompt": "a lagoon", "duration": "5s"}
VALIDATION = {"queue": {}, "quote": {}, "retrieve": {}, "complete": {"x": 1}}


def check(path, answer):
    """Fails unless the contract has this status for this call, and this body for the status."""
    declared = CONTRACT["answers"][path]
    status = str(answer.status_code)
    assert status in declared, f"{path} declares no {status}"
    media_type = answer.headers["content-type"]
    assert media_type in declared[status]
    if media_type == "application/json":
        OAS30Validator(declared[status][media_type]).validate(answer.json())


@pytest.fixture
async def call(http, open_tenant):
    """Makes a call with a key that has money enough: `await call("queue", body)`."""
    tenant = await open_tenant(credit_micros=150_000)

    async def make(name, body, **headers):
        return await http.post(f"/api/v1/video/{name}", json=body, headers=tenant.headers | headers)

    return make


class TestAnswers:
    async def test_quote(self, call):
        check("/video/quote", await call("quote", TEXT))

    async def test_queue_retrieve_and_complete(self, call):
        job = await call("queue", TEXT)
        check("/video/queue", job)
        assert job.status_code == 200
        check("/video/retrieve", await call("retrieve", job.json()))
        check("/video/complete", await call("complete", job.json()))

    @pytest.mark.parametrize("query", ["", "?type=video", "?type=text", "?type=code"])
    async def test_models(self, http, query):
        check("/models", await http.get(f"/api/v1/models{query}"))

    @pytest.mark.parametrize("call", ["", "/traits", "/compatibility_mapping"])
    async def test_music_is_a_type_of_the_newer_contract(self, http, call):
        answer = await http.get(f"/api/v1/models{call}?type=music")
        assert (answer.status_code, answer.json()["type"]) == (200, "music")
        assert not answer.json()["data"]

    @pytest.mark.parametrize("call", ["traits", "compatibility_mapping"])
    async def test_names_of_models(self, http, call):
        check(f"/models/{call}", await http.get(f"/api/v1/models/{call}?type=video"))

    async def test_estimates_are_whole_milliseconds(self, call, monkeypatch):
        job = (await call("queue", TEXT)).json()

        async def working(*_):
            return Working(145_000, 53_200, 91_800, None)

        monkeypatch.setattr(generation, "retrieve", working)
        body = (await call("retrieve", job)).json()
        assert body == {
            "status": "PROCESSING",
            "average_execution_time": 145_000,
            "execution_duration": 53_200,
        }


class TestErrors:
    @pytest.mark.parametrize("name", ["quote", "queue", "retrieve", "complete"])
    async def test_400(self, call, name):
        answer = await call(name, VALIDATION[name])
        assert answer.status_code == 400
        check(f"/video/{name}", answer)
        assert answer.json()["details"]["_errors"] is not None

    @pytest.mark.parametrize("name", ["queue", "retrieve", "complete"])
    async def test_401(self, call, name):
        answer = await call(name, {}, authorization="Bearer wrong")
        assert answer.status_code == 401
        check(f"/video/{name}", answer)

    async def test_402(self, call):
        answers = [await call("queue", TEXT) for _ in range(2)]
        assert answers[1].status_code == 402
        check("/video/queue", answers[1])

    async def test_413(self, call):
        answer = await call("queue", {}, **{"content-length": "35000001"})
        assert answer.status_code == 413
        assert answer.json()["code"] == "PAYLOAD_TOO_LARGE"  # which the newer one requires
        check("/video/queue", answer)

    @pytest.mark.parametrize("failed", [InputRejected, InferenceFailed, QueuedTooLong])
    async def test_of_failed_jobs(self, call, monkeypatch, failed):
        async def fail(*_):
            raise failed

        monkeypatch.setattr(generation, "retrieve", fail)
        answer = await call("retrieve", {"model": "m", "queue_id": "q"})
        assert answer.status_code == failed.status
        check("/video/retrieve", answer)

    async def test_500(self, call, monkeypatch):
        def fail(*_):
            raise RuntimeError

        monkeypatch.setattr(generation, "queue", fail)
        answer = await call("queue", TEXT)
        assert answer.status_code == 500
        check("/video/queue", answer)


NEWER = {"end_image_url"}
"""What the newer specification adds and a model of ours can honour."""


class TestRequests:
    @pytest.mark.parametrize(
        "kind", [QueueVideoRequest, RetrieveVideoRequest, CompleteVideoRequest]
    )
    def test_have_the_fields_of_the_contract(self, kind):
        schema = CONTRACT["requests"][kind.__name__]
        assert set(kind.model_fields) - NEWER == set(schema["properties"])
        assert schema["additionalProperties"] is False
        # Required for image-to-video alone, whatever the specification says.
        required = set(schema["required"]) - {"image_url"}
        assert {n for n, field in kind.model_fields.items() if field.is_required()} == required

    @pytest.mark.parametrize("field", ["negative_prompt", "delete_media_on_completion"])
    def test_have_the_defaults_of_the_contract(self, field):
        kind = QueueVideoRequest if field == "negative_prompt" else RetrieveVideoRequest
        schema = CONTRACT["requests"][kind.__name__]["properties"][field]
        assert kind.model_fields[field].default == schema["default"]

    async def test_every_choice_of_the_contract_is_taken(self, http):
        properties = CONTRACT["requests"]["QueueVideoRequest"]["properties"]
        for name in ("duration", "resolution"):
            for value in properties[name]["enum"]:
                answer = await http.post("/api/v1/video/quote", json=TEXT | {name: value})
                assert answer.status_code == 200
