"""Prices: what a clip costs, the same for a quote and for the charge."""

from squero.domain.catalog import Clip, Model
from squero.money import micros_from_usd


def price_micros(model: Model, clip: Clip) -> int:
    """The price in millionths of a USD: the rate of the resolution for every second."""
    return micros_from_usd(model.usd_per_second[clip.resolution]) * clip.seconds
