"""What a key may still spend: what its account has, or what the key's own limits leave of it."""

from dataclasses import dataclass

from squero.domain.keys import Key
from squero.domain.usage import Balance

_LEAST_DIEM_MICROS = 100_000  # less is of no use


@dataclass(frozen=True, slots=True)
class Purse:
    """Micros by currency; USD and bundled credits share the key's limit on USD."""

    usd_micros: int
    bundled_micros: int
    diem_micros: int

    @property
    def opens(self) -> bool:
        """Whether anything at all can be bought with it."""
        money = self.usd_micros > 0 or self.bundled_micros > 0
        return money or self.diem_micros >= _LEAST_DIEM_MICROS


def purse(balance: Balance, key: Key) -> Purse:
    """The purse of a key of the account."""
    usd, diem = key.usd_limit_micros, key.diem_limit_micros
    return Purse(
        usd_micros=_clamp(balance.spendable_usd_micros, usd, key.period_usd_micros),
        bundled_micros=_clamp(balance.bundled_micros, usd, key.period_usd_micros),
        diem_micros=_clamp(balance.diem_micros, diem, key.period_diem_micros),
    )


def _clamp(available_micros: int, limit_micros: int | None, spent_micros: int) -> int:
    if limit_micros is None:
        return available_micros
    return max(0, min(available_micros, limit_micros - spent_micros))
