"""Prices: what a clip costs, the same for a quote and for the charge."""

from functools import lru_cache

from squero.domain.catalog import Clip, Model
from squero.money import micros_from_usd

_rate_micros = lru_cache(micros_from_usd)  # a catalogue has few prices, and each is asked for often


def price_micros(model: Model, clip: Clip) -> int:
    """The price in millionths of a USD: the rate of the resolution for every second."""
    return _rate_micros(model.usd_per_second[clip.resolution]) * clip.seconds
