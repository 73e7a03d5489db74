"""Billing on the wire: what spreadsheets make of a text, numbers, and the span of an analysis."""

import csv
import io
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from squero.errors import InvalidRequest
from squero.wire.billing import (
    InferenceDetails,
    UsageEntry,
    analytics_query,
    csv_text,
    history_query,
    timestamp,
    usage_query,
)

TODAY = date(2026, 3, 1)
ENTRY = UsageEntry(
    amount=-0.05,
    currency="USD",
    inference_details=InferenceDetails(inference_execution_time=None, request_id="r"),
    notes="n",
    price_per_unit_usd=0.01,
    sku="s",
    timestamp="t",
    units=5,
)


def cells(**changes):
    """The line of an entry with these changes, by column."""
    text = csv_text([ENTRY.model_copy(update=changes)])
    assert text.endswith("\r\n")
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    return line


class TestCsv:
    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_has_no_formula(self, text):
        assert cells(sku=text)["sku"] == f"'{text}"

    @pytest.mark.parametrize("text", ["plain", "a=b", 'say "a, b"', "two\nlines", "é"])
    def test_has_texts_as_they_are(self, text):
        assert cells(notes=text)["notes"] == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [(-0.05, "-0.05"), (0.000001, "0.000001"), (-12, "-12"), (100, "100"), (0, "0")],
    )
    def test_has_numbers_as_numbers(self, value, text):
        assert cells(amount=value)["amount"] == text

    def test_has_nothing_for_null(self):
        line = cells()
        assert line["inferenceExecutionTime"] == line["promptTokens"] == ""

    def test_of_nothing_is_its_head(self):
        assert csv_text([]).startswith("timestamp,sku,notes,currency,amount,units,")


class TestUsageQuery:
    def test_has_the_defaults_of_the_contract(self):
        asked = usage_query({})
        assert (asked.limit, asked.page, asked.newest_first) == (200, 1, True)
        assert asked.currency is asked.start is asked.until is None

    def test_ends_after_its_last_millisecond_or_day(self):
        asked = usage_query({"startDate": "2026-01-01", "endDate": "2026-01-01"})
        assert asked.start == datetime(2026, 1, 1, tzinfo=UTC)
        assert asked.until == datetime(2026, 1, 2, tzinfo=UTC)
        asked = usage_query({"endDate": "2026-01-01T00:00:00.999+01:00"})
        assert asked.until == datetime(2025, 12, 31, 23, 0, 1, tzinfo=UTC)

    def test_knows_what_it_does_not_know(self):
        assert usage_query({"utm_source": "x"}) == usage_query({})


class TestHistoryQuery:
    def test_ends_before_its_end(self):
        asked = history_query({"endTimestamp": "2026-01-01T00:00:00.123456789Z"})
        assert asked.until == datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
        assert asked.page_size == 1000

    def test_with_a_cursor_is_that_alone(self):
        assert history_query({"cursor": "c"}).cursor == "c"
        with pytest.raises(InvalidRequest):
            history_query({"cursor": "c", "x": ""})


class TestAnalyticsQuery:
    def test_counts_days_with_today(self):
        asked = analytics_query({}, TODAY)
        assert (asked.lookback, asked.first, asked.last) == ("7d", date(2026, 2, 23), TODAY)
        assert analytics_query({"lookback": "1d"}, TODAY).first == TODAY
        assert analytics_query({"lookback": "90d"}, TODAY).first == date(2025, 12, 2)

    def test_names_its_days(self):
        asked = analytics_query({"startDate": "2025-12-02", "endDate": "2026-03-01"}, TODAY)
        assert asked.lookback == "2025-12-02:2026-03-01"

    def test_spans_ninety_days_at_most(self):
        with pytest.raises(InvalidRequest):
            analytics_query({"startDate": "2025-12-01", "endDate": "2026-03-01"}, TODAY)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_a_timestamp_is_utc_cut_to_milliseconds(zone):
    moment = datetime(2026, 6, 15, 19, 5, 10, 504_999, tzinfo=UTC).astimezone(zone)
    assert timestamp(moment) == "2026-06-15T19:05:10.504Z"
