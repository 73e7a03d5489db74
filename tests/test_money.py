"""Money in and out of text: exact, bounded, or refused in words."""

import pytest

from squero.money import MOST_USD, micros_from_usd, usd_number, usd_text


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.055", 55_000),
        ("12", 12_000_000),
        ("-0.000001", -1),
        ("1e3", 1_000_000_000),
        (str(MOST_USD), MOST_USD * 1_000_000),
    ],
)
def test_amounts(text: str, micros: int) -> None:
    assert micros_from_usd(text) == micros
    assert micros_from_usd(usd_text(micros)) == micros
    assert usd_number(micros) == float(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an amount"),
        ("much", "not an amount"),
        ("nan", "not an amount"),
        ("sNaN", "not an amount"),
        ("Infinity", "not an amount"),
        ("-inf", "not an amount"),
        ("1e30", "more than 1,000,000,000 USD"),
        ("-1e30", "more than 1,000,000,000 USD"),
        ("1e999999999", "more than 1,000,000,000 USD"),
        ("1000000000.000001", "more than 1,000,000,000 USD"),
        ("0.0000001", "more than six decimals"),
        ("1.0000000000000000000000000000000000001", "more than six decimals"),
        ("1e-999999999", "more than six decimals"),
    ],
)
def test_refuses(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        micros_from_usd(text)
