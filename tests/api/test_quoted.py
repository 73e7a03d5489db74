"""How much of what a client sent comes back in the answer that refuses it: 200 letters at most."""

import json

import pytest

from squero.domain import keys

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

MARK = "\u017b"
"""A letter that no answer has of its own."""
MUCH = MARK * 400
MOST = 200
TEXT = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s"}
REFUSED = {
    "unknown keys": {f"{MUCH}{number}": 1 for number in range(12)},
    "short unknown keys": {MARK * number: 1 for number in range(1, 90)},
    "choices": dict.fromkeys(("duration", "resolution", "aspect_ratio"), MUCH),
    "unknown keys and choices": {MUCH: 1, "duration": MUCH, "resolution": MUCH},
    "a model": {"model": MUCH},
    "types": {"prompt": [MUCH], "audio": MUCH, "negative_prompt": {MUCH: MUCH}},
    "a NUL in a short place": {MARK * 79: "\0"},
    "a NUL in a long place": {MARK * 40: {MARK * 41: "\0"}},
    "a key that is none": {"prompt\0" + MUCH: MUCH},
    "media": {"image_url": MUCH, "video_url": MUCH},
    "a prompt": {"prompt": MARK * 5_000},
}


@pytest.fixture
async def administrator(customer, yard):
    """The headers of a call with an ADMIN key."""
    async with yard.database.transaction() as tx:
        _, key = await keys.create(tx, yard.keyring, customer.account_id, "ADMIN", "")
    return {"authorization": f"Bearer {key}"}


def quoted(answer):
    """How many of the letters an answer holds, in its body and in its headers."""
    return json.dumps(answer.json(), ensure_ascii=False).count(MARK) + sum(
        value.count(MARK) for value in answer.headers.values()
    )


@pytest.mark.parametrize("wrong", REFUSED)
@pytest.mark.parametrize("call", ["quote", "queue"])
async def test_by_a_video_call(customer, call, wrong):
    answer = await customer.post(call, TEXT | REFUSED[wrong])
    assert answer.status_code in ((200, 400, 404) if call == "quote" else (400, 404))
    assert quoted(answer) <= MOST


@pytest.mark.parametrize("call", ["retrieve", "complete"])
async def test_by_a_call_about_a_job(customer, call):
    for job in ({"model": MUCH, "queue_id": MUCH}, {MUCH: MUCH, "model": 1, "queue_id": MUCH}):
        answer = await customer.post(call, job)
        assert answer.status_code == 400
        assert quoted(answer) <= MOST


@pytest.mark.parametrize("path", ["/models", "/models/traits", f"/{MUCH}"])
async def test_by_a_path(http, path):
    answer = await http.get(f"/api/v1{path}", params={"type": MUCH})
    assert answer.status_code in (400, 404)
    assert quoted(answer) <= MOST


ALL_WRONG = dict.fromkeys(
    ("apiKeyType", "description", "expiresAt", "limitPeriod", "modelPrivacy"), MUCH
)
LIMITS = {"consumptionLimit": {MUCH: 1}}
QUERIES = {
    "api_keys/rate_limits/log": ("limit", "page"),
    "billing/usage": ("currency", "startDate", "endDate", "limit", "page", "sortOrder"),
    "billing/usage-history": ("currency", "startTimestamp", "endTimestamp", "pageSize"),
    "billing/usage-analytics": ("lookback", "startDate", "endDate"),
}


@pytest.mark.parametrize("asked", [ALL_WRONG, LIMITS, ALL_WRONG | LIMITS, {MUCH: 1} | LIMITS])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_by_a_call_about_keys(http, administrator, method, asked):
    asked = asked | {f"{MARK}{MUCH}": 1}
    answer = await http.request(method, "/api/v1/api_keys", json=asked, headers=administrator)
    assert answer.status_code == 400
    assert 0 < quoted(answer) <= MOST


@pytest.mark.parametrize("path", QUERIES)
async def test_by_a_query(http, administrator, path):
    asked = dict.fromkeys(QUERIES[path], MUCH)
    answer = await http.get(f"/api/v1/{path}", params=asked, headers=administrator)
    assert answer.status_code in (200, 400)
    assert quoted(answer) <= MOST


async def test_a_little_is_quoted(customer):
    answer = await customer.post("queue", TEXT | {"resolution": f"{MARK}p", MARK: 1})
    assert quoted(answer) == 2
