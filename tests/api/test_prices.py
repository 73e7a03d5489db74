"""The prices of upstreams, from a worker's report to a customer's quote."""

from dataclasses import replace

import pytest

from squero.domain import catalog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]

ENTRY = """
id = "far"
name = "Far"
description = "d"
created = 1
engine = "venice"
upstream_price = { margin_percent = 10 }
render_seconds_per_second = { 480p = 1 }
[[options.upstreams]]
name = "first"
url = "https://first.example.org"
model = "wan"
[constraints]
model_type = "image-to-video"
durations = ["5s", "8s"]
resolutions = ["480p"]
aspect_ratios = []
audio = true
audio_configurable = false
"""
ASKED = {"model": "far", "duration": "5s"}
OFFLINE = {"error": "The model is temporarily offline. Please try again later."}


@pytest.fixture
def house(cleared, tmp_path):
    (tmp_path / "far.toml").write_text(ENTRY)
    return replace(cleared, yard=replace(cleared.yard, catalog=catalog.load(tmp_path)))


@pytest.fixture
def wanted(hand):
    async def ask():
        answer = await hand.call("GET", "/prices")
        assert answer.status_code == 200
        return answer.json()["models"]

    return ask


def priced(model, *micros):
    """A report of the model's clips, one after the other, at these prices."""
    names = ("seconds", "resolution", "aspect_ratio", "audio")
    prices = [
        {name: clip[name] for name in names} | {"price_micros": price}
        for clip, price in zip(model["clips"], micros, strict=False)
    ]
    return {"model": model["id"], "terms": model["terms"], "prices": prices}


async def test_what_is_wanted(wanted, yard):
    [model] = await wanted()
    assert model["engine"] == "venice"
    assert model["options"] == dict(yard.catalog.find("far").options)
    sizes = [(one["seconds"], one["width"], one["height"]) for one in model["clips"]]
    shapes = ((848, 480), (480, 848), (480, 480))
    assert sizes == [(seconds, *shape) for seconds in (5, 8) for shape in shapes]
    assert {(one["frames"] / one["fps"] - one["seconds"]) for one in model["clips"]} == {0}
    assert {(one["resolution"], one["aspect_ratio"]) for one in model["clips"]} == {("480p", None)}


async def test_from_report_to_charge(wanted, hand, http, customer, picture, house):
    assert (await http.post("/api/v1/video/quote", json=ASKED)).json() == OFFLINE
    order = ASKED | {"prompt": "push in", "image_url": picture}
    answer = await customer.post("queue", order)
    assert (answer.status_code, answer.json()) == (503, OFFLINE)
    [listed] = (await http.get("/api/v1/models")).json()["data"]
    assert listed["model_spec"]["offline"] is True

    [model] = await wanted()
    answer = await hand.call("POST", "/prices", json=priced(model, 50_000, 70_001, 60_000))
    assert answer.status_code == 204
    assert await wanted() == []
    assert (await http.post("/api/v1/video/quote", json=ASKED)).json() == {"quote": 0.077005}
    answer = await http.post("/api/v1/video/quote", json=ASKED | {"duration": "8s"})
    assert answer.status_code == 503
    [listed] = (await http.get("/api/v1/models")).json()["data"]
    assert listed["model_spec"]["offline"] is False
    assert (await customer.post("queue", order)).status_code == 200
    async with house.yard.database.reading() as tx:
        found = await tx._connection.execute("SELECT price_micros FROM generations")
        assert await found.fetchall() == [(77_005,)]


async def test_a_quote_follows_the_price(wanted, hand, http):
    [model] = await wanted()
    for micros, quoted in [(50_000, 0.055), (100_000, 0.11)]:
        report = priced(model, micros, micros, micros)
        assert (await hand.call("POST", "/prices", json=report)).status_code == 204
        answer = await http.post("/api/v1/video/quote", json=ASKED)
        assert answer.json() == {"quote": quoted}


@pytest.mark.parametrize("lane", ["other"])
async def test_of_another_lane(wanted, open_hand, lane):
    [model] = await wanted()
    stranger = await open_hand(lane=lane)
    assert (await stranger.call("GET", "/prices")).json() == {"models": []}
    answer = await stranger.call("POST", "/prices", json=priced(model, 1))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"price_micros": -1},
        {"price_micros": 0.5},
        {"price_micros": "1"},
        {"price_micros": True},
        {"price_micros": 10**15 + 1},
        {"seconds": 0},
        {"audio": 1},
        {"x": 1},
    ],
    ids=str,
)
async def test_refuses(wanted, hand, change):
    [model] = await wanted()
    report = priced(model, 1)
    report["prices"][0] |= change
    assert (await hand.call("POST", "/prices", json=report)).status_code == 400


async def test_without_a_token(http, customer):
    assert (await http.get("/worker/v1/prices")).status_code == 401
    answer = await http.post("/worker/v1/prices", json={}, headers=customer.headers)
    assert answer.status_code == 401
