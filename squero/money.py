"""Money in integer millionths of a US dollar, from the catalogue's text to the API's number."""

from decimal import Decimal, DecimalException, Inexact, InvalidOperation, localcontext

MICROS_PER_USD = 1_000_000

UNMETERED_USD = 9_999_999_999
"""What an unmetered account reports as its balance."""

MOST_USD = 1_000_000_000
"""The largest amount that is taken at once: thousands of these fit a balance."""


def micros_from_usd(text: str) -> int:
    """The micros of a decimal text such as "0.055"; raises ValueError when it is not exact."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount of USD") from None
    if not amount.is_finite():
        raise ValueError(f"{text!r} is not an amount of USD")
    if amount.copy_abs() > MOST_USD:
        raise ValueError(f"{text!r} is more than {MOST_USD:,} USD")
    try:
        with localcontext() as exactly:
            exactly.traps[Inexact] = True
            micros = amount * MICROS_PER_USD
            exact = micros == micros.to_integral_value()
    except DecimalException:
        exact = False
    if not exact:
        raise ValueError(f"{text!r} has more than six decimals")
    return int(micros)


def micros_from_quote(quote: object) -> int:
    """The micros of an amount that another server tells, rounded up to a whole one.

    It is as JSON gives it with its decimals as Decimal; what is finer than a thousandth of a micro
    is another server's binary fraction. Raises ValueError for what is no price.
    """
    if isinstance(quote, bool) or not isinstance(quote, int | Decimal):
        raise ValueError("no number")
    amount = Decimal(quote)
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise ValueError("no price")
    thousandths = int((amount * MICROS_PER_USD * 1000).to_integral_value())
    return -(-thousandths // 1000)


def usd_text(micros: int) -> str:
    """The amount as decimal text without trailing zeros, such as "0.055" or "12"."""
    whole, rest = divmod(abs(micros), MICROS_PER_USD)
    text = f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
    return f"-{text}" if micros < 0 else text


def usd_number(micros: int) -> int | float:
    """The amount as the API's JSON number: dividing is exact to six decimals below 2**53."""
    return micros // MICROS_PER_USD if micros % MICROS_PER_USD == 0 else micros / MICROS_PER_USD
