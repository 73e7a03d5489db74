"""Amounts, moments and usage, to the letter."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from squero.wire.issues import parse
from squero.wire.keys import (
    ConsumptionLimit,
    CreateKeyRequest,
    KeyLimits,
    KeyUsage,
    KeyWeek,
    NewKey,
)

NEW = {"apiKeyType": "ADMIN", "description": ""}


def limit(**amounts):
    return parse(CreateKeyRequest, NEW | {"consumptionLimit": amounts}).consumption_limit


def expiry(text):
    return parse(CreateKeyRequest, NEW | {"expiresAt": text}).expires_at


class TestAmounts:
    @pytest.mark.parametrize(
        "micros",
        [
            0,
            1,
            99_999,
            55_000,
            123_456_789,
            2**33 * 1_000_000 - 1,
            2**33 * 1_000_000 - 999_999,
            4_294_967_296_000_001,
            9_999_999_999_000_000,
        ],
    )
    def test_come_back_as_they_went(self, micros):
        told = KeyLimits(usd=micros, diem=None).model_dump(mode="json")
        assert limit(usd=told["usd"]) == ConsumptionLimit.model_construct(
            {"usd"}, usd=micros, diem=None, vcu=None
        )

    @pytest.mark.parametrize("step", range(200))
    def test_near_the_largest_with_decimals_are_told_apart(self, step):
        micros = 2**33 * 1_000_000 - 1 - step
        told = KeyLimits(usd=micros, diem=None).model_dump(mode="json")["usd"]
        assert limit(usd=told).usd == micros

    @pytest.mark.parametrize(
        ("amount", "micros"),
        [
            (0.1 + 0.2, 300_000),
            (4.35 * 100, 435_000_000),
            (0.1234567, 123_457),
            (1e-7, 0),
            (8589934592.5, 8_589_934_592_500_000),
        ],
    )
    def test_that_a_client_computed_are_rounded(self, amount, micros):
        assert limit(usd=amount).usd == micros

    def test_of_zero_are_not_without_limit(self):
        assert (limit(usd=0, diem=-0.0).usd, limit(usd=0, diem=-0.0).diem_micros) == (0, 0)
        assert limit(usd=None).usd is None

    def test_in_vcu_count_where_none_is_in_diem(self):
        assert limit(vcu=2).diem_micros == 2_000_000
        assert limit(vcu=2, diem=3).diem_micros == 3_000_000
        assert limit(vcu=2, diem=None).diem_micros is None
        assert limit().diem_micros is None


class TestMoments:
    def test_of_a_day_is_its_beginning(self):
        assert expiry("2030-02-28") == datetime(2030, 2, 28, tzinfo=UTC)
        assert expiry("2028-02-29") == datetime(2028, 2, 29, tzinfo=UTC)

    def test_to_the_millisecond(self):
        moment = datetime(2030, 2, 28, 23, 59, 59, 125_000, tzinfo=UTC)
        assert expiry("2030-02-28T23:59:59.125Z") == moment
        assert expiry("2030-02-28T23:59:59Z") == moment.replace(microsecond=0)

    def test_none(self):
        assert expiry("") is None


class TestUsage:
    @pytest.mark.parametrize(
        ("micros", "text"),
        [
            (0, "0.0000"),
            (49, "0.0000"),
            (50, "0.0001"),
            (10_242_400, "10.2424"),
            (999_950, "1.0000"),
            (12_000_000, "12.0000"),
            (9_999_999_999_000_000, "9999999999.0000"),
        ],
    )
    def test_has_four_decimals(self, micros, text):
        week = KeyWeek(usd=micros, diem=0)
        told = KeyUsage(trailing_seven_days=week).model_dump(mode="json", by_alias=True)
        assert told == {"trailingSevenDays": {"usd": text, "vcu": "0.0000", "diem": "0.0000"}}


def test_times_are_told_in_utc():
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    key = NewKey.model_construct(
        expires_at=datetime(2030, 1, 1, 3, 0, 0, 999_999, elsewhere), models=None
    )
    assert key.model_dump(by_alias=True) == {"expiresAt": "2029-12-31T21:30:00.999Z"}
