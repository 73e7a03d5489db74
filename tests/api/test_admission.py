"""What a customer hears when a job is not taken: policy, offline models, full queues and disks."""

from dataclasses import replace

import pytest

from squero.domain import admission
from squero.domain.admission import OFFLINE_SECONDS
from squero.domain.policy import RefusedTerms

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

TEXT = {"model": "motion-text-to-video", "prompt": "a lagoon", "duration": "5s"}
OFFLINE = {"error": "The model is temporarily offline. Please try again later."}
FULL = {"error": "The model is at capacity. Please try again later."}


@pytest.fixture
def house(cleared):
    """The shared house with rules of its own; and what is changed in it ends with the test."""
    settings = cleared.yard.settings.model_copy(
        update={"queued_per_account": 2, "lane_queue_limit": 3}
    )
    rules = admission.Admission(settings, cleared.yard.database)
    terms = (RefusedTerms(["serpent"]),)
    return replace(
        cleared, yard=replace(cleared.yard, settings=settings, admission=rules, policies=terms)
    )


async def test_a_prompt_that_is_refused(customer, open_customer):
    answer = await customer.post("queue", TEXT | {"prompt": "a sea Serpent"})
    told = "Your prompt violates the content policy of Venice.ai or the model provider"
    assert (answer.status_code, answer.json()) == (422, {"error": told})
    assert "x-venice-balance-usd" in answer.headers


class TestOffline:
    @pytest.fixture
    def long_since(self, yard):
        yard.admission._began_at -= OFFLINE_SECONDS + 1

    async def test_is_told(self, customer, http, long_since):
        answer = await customer.post("queue", TEXT)
        assert (answer.status_code, answer.json()) == (503, OFFLINE)
        listed = (await http.get("/api/v1/models")).json()["data"]
        assert {one["model_spec"]["offline"] for one in listed} == {True}
        assert (await http.post("/api/v1/video/quote", json=TEXT)).status_code == 200

    async def test_ends_when_a_worker_asks(self, customer, http, hand, long_since):
        assert (await hand.claim()).status_code == 204
        assert (await customer.post("queue", TEXT)).status_code == 200
        listed = (await http.get("/api/v1/models")).json()["data"]
        assert {one["model_spec"]["offline"] for one in listed} == {False}


async def test_a_full_account(customer):
    for _ in range(2):
        await customer.queue()
    answer = await customer.post("queue", TEXT)
    assert answer.status_code == 429
    assert "queued" in answer.json()["error"]


async def test_a_full_lane(open_customer, yard):
    for _ in range(3):
        await (await open_customer()).queue()
    yard.admission.reset()
    answer = await (await open_customer()).post("queue", TEXT)
    assert (answer.status_code, answer.json()) == (503, FULL)


async def test_a_full_disk_before_the_body(customer, monkeypatch):
    monkeypatch.setattr(admission, "_free_bytes", lambda _: 0)

    async def body():
        raise AssertionError("the body was read")
        yield b""

    answer = await customer.http.post(
        "/api/v1/video/queue",
        content=body(),
        headers=customer.headers | {"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()) == (503, FULL)
    assert (await customer.post("retrieve", {})).status_code == 400
