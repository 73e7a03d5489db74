"""Prices that upstreams make: reported, kept for a day, with a margin; the quote is the charge."""

from dataclasses import replace
from uuid import uuid4

import pytest

from squero.domain import catalog, generation, video_request
from squero.domain.catalog import Catalog
from squero.domain.clip import Clip, clips
from squero.domain.keys import Worker
from squero.domain.pricing import ASKED_SECONDS, KEPT_SECONDS, Reported, terms, with_margin
from squero.domain.video_request import VideoRequest
from squero.errors import ModelOffline, NotFound

pytestmark = pytest.mark.anyio

ENTRY = """
id = "far"
name = "Far"
description = "d"
created = 1
lane = "far"
engine = "venice"
upstream_price = { margin_percent = 20 }
render_seconds_per_second = { 480p = 1, 720p = 1 }
[[options.upstreams]]
name = "first"
url = "https://first.example.org"
model = "wan"
[constraints]
model_type = "text-to-video"
durations = ["5s"]
resolutions = ["480p", "720p"]
aspect_ratios = ["16:9", "1:1"]
audio = true
audio_configurable = true
"""
TEXT = VideoRequest("far", "a lagoon", "5s", resolution="480p")
WORKER = Worker(uuid4(), "far", False, "w")
CLIP = Clip(5, "480p", "16:9", True)


def told(micros, clip=CLIP):
    return Reported(*clip, micros)


@pytest.fixture
def entries(tmp_path):
    """The catalogue of a file with this text."""

    def load(text=ENTRY):
        (tmp_path / "far.toml").write_text(text)
        return catalog.load(tmp_path)

    return load


@pytest.fixture
def yard(yard, entries):
    yard = replace(yard, catalog=entries())
    yard.admission.reset()
    return yard


@pytest.fixture
def model(yard):
    return yard.catalog.find("far")


@pytest.fixture
def report(yard, model):
    async def run(*prices, **changes):
        named = {"catalog": yard.catalog, "worker": WORKER, "model_id": "far"}
        named |= {"bound_to": terms(model), "prices": prices}
        await yard.prices.report(**named | changes)

    return run


@pytest.mark.parametrize(
    ("asked", "percent", "seconds", "price"),
    [
        (50_000, 20, 5, 60_000),
        (1, 1, 1, 2),
        (1, 0, 5, 5),
        (0, 50, 5, 0),
        (99, 0, 1, 99),
        (333_333, 33, 1, 443_333),
        (333_333, 33, 10, 443_340),
    ],
)
def test_the_margin_is_rounded_up_for_every_second(asked, percent, seconds, price):
    assert with_margin(asked, percent, seconds) == price


class TestMicros:
    async def test_is_the_report_and_the_margin(self, yard, play, report, open_tenant):
        tenant = await open_tenant(credit_micros=1_000_000)
        await report(told(50_000), told(40_000))
        assert await generation.quote(yard, TEXT) == 60_000
        queued = await generation.queue(yard, tenant.caller, TEXT, None)
        assert (await play.row(queued.queue_id))["price_micros"] == 60_000
        assert await play.balance(tenant) == (940_000, 60_000)

    async def test_of_a_clip_that_was_not_told(self, yard, report, tenant):
        await report(told(50_000))
        for asked in (replace(TEXT, resolution="720p"), replace(TEXT, audio=False)):
            with pytest.raises(ModelOffline):
                await generation.quote(yard, asked)
            with pytest.raises(ModelOffline):
                await generation.queue(yard, tenant.caller, asked, None)

    async def test_changes_with_the_next_report(self, yard, report, tenant, play):
        await report(told(50_000))
        held = await generation.queue(yard, tenant.caller, TEXT, None)
        await report(told(70_000))
        assert await generation.quote(yard, TEXT) == 84_000
        assert (await play.row(held.queue_id))["price_micros"] == 60_000

    async def test_lasts_a_day(self, yard, model, report, pass_time):
        assert await yard.prices.unknown(model)
        await report(told(50_000))
        await pass_time(KEPT_SECONDS - 60)
        yard.prices.reset()
        assert await generation.quote(yard, TEXT) == 60_000
        await pass_time(120)
        yard.prices.reset()
        with pytest.raises(ModelOffline):
            await generation.quote(yard, TEXT)
        assert await yard.prices.unknown(model)

    async def test_is_not_that_of_another_upstream(self, yard, report, entries):
        await report(told(50_000))
        moved = replace(yard, catalog=entries(ENTRY.replace('"wan"', '"other"')))
        with pytest.raises(ModelOffline):
            await generation.quote(moved, TEXT)

    async def test_of_an_upstream_that_asks_nothing(self, yard, model, report, tenant):
        await report(told(0))
        assert await generation.quote(yard, TEXT) == 0
        assert not await yard.prices.unknown(model)


class TestReport:
    @pytest.mark.parametrize(
        "changes",
        [
            {"model_id": "none"},
            {"bound_to": "other"},
            {"worker": replace(WORKER, lane="default")},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    async def test_of_what_is_not_the_workers(self, yard, model, report, changes):
        with pytest.raises(NotFound):
            await report(told(50_000), **changes)
        assert await yard.prices.unknown(model)

    async def test_of_a_model_with_a_price_of_its_own(self, yard, entries, report):
        own = ENTRY.replace("upstream_price = { margin_percent = 20 }", OWN)
        with pytest.raises(NotFound):
            await report(told(50_000), catalog=entries(own))

    async def test_of_clips_that_there_are_not(self, yard, model, report):
        await report(told(1, Clip(6, "480p", "16:9", True)), told(1, CLIP._replace(resolution="x")))
        assert await yard.prices.unknown(model)

    async def test_forgets_what_is_too_old(self, yard, report, sql, pass_time):
        await report(told(1), told(1, CLIP._replace(audio=False)))
        await pass_time(KEPT_SECONDS + 1)
        await report(told(2))
        rows = await sql("SELECT price_micros FROM upstream_prices")
        assert [row["price_micros"] for row in rows] == [2]


OWN = 'usd_per_second = { 480p = "1", 720p = "1" }'


class TestDue:
    async def test_until_it_is_reported_and_again(self, yard, model, report, pass_time):
        assert await yard.prices.due(yard.catalog, "far") == [model]
        assert await yard.prices.due(yard.catalog, "default") == []
        await report(told(50_000))
        assert await yard.prices.due(yard.catalog, "far") == []
        await pass_time(ASKED_SECONDS + 1)
        assert await yard.prices.due(yard.catalog, "far") == [model]

    async def test_of_none(self, yard):
        assert await yard.prices.due(Catalog([]), "far") == []


class TestClips:
    def test_are_what_requests_come_to(self, model):
        found = set(clips(model))
        asked = {
            video_request.clip(
                model, replace(TEXT, resolution=size, aspect_ratio=ratio, audio=audio)
            )
            for size in (None, "480p", "720p")
            for ratio in (None, "16:9", "1:1")
            for audio in (None, True, False)
        }
        assert found == asked
        assert len(found) == 8

    @pytest.mark.parametrize(
        ("changes", "sounds", "ratios"),
        [
            ({}, {True, False}, {"16:9", "1:1"}),
            ({"audio_configurable = true": "audio_configurable = false"}, {True}, None),
            ({"audio = true": "audio = false\naudio_input = true"}, {True, False}, None),
            ({"text-to-video": "image-to-video"}, {True, False}, {None, "16:9", "1:1"}),
            ({'["16:9", "1:1"]': "[]"}, {True, False}, {None}),
        ],
    )
    def test_by_sound_and_ratio(self, entries, changes, sounds, ratios):
        text = ENTRY
        for old, new in changes.items():
            text = text.replace(old, new)
        found = list(clips(entries(text).find("far")))
        assert {one.audio for one in found} == sounds
        assert ratios is None or {one.aspect_ratio for one in found} == ratios
        assert len(set(found)) == len(found)
