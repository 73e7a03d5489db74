"""Prices: what a clip costs, the same for a quote and for the charge.

An entry names its price, or leaves it to its upstreams: then workers report what those ask, and a
margin comes on top.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from squero.domain.catalog import Catalog
from squero.domain.clip import Clip, clips
from squero.domain.fresh import Fresh
from squero.domain.keys import Worker
from squero.domain.model import Model
from squero.errors import ModelOffline, NotFound
from squero.money import micros_from_usd
from squero.store.db import Database

ASKED_SECONDS = 300
"""How long a report is not asked for again."""
KEPT_SECONDS = 24 * 3600
"""How long a price that no report has renewed is good for."""
_FRESH_SECONDS = 1

_rate_micros = lru_cache(micros_from_usd)  # a catalogue has few prices, and each is asked for often


def price_micros(model: Model, clip: Clip) -> int:
    """The price in millionths of a USD: the rate of the resolution for every second."""
    return _rate_micros(model.usd_per_second[clip.resolution]) * clip.seconds


def with_margin(asked_micros: int, margin_percent: int, seconds: int) -> int:
    """What an upstream asks and the margin, rounded up to whole micros for every second.

    Usage tells the price of a second, and the charge is that times the seconds.
    """
    return -(-asked_micros * (100 + margin_percent) // (100 * seconds)) * seconds


def terms(model: Model) -> str:
    """What a reported price is bound to: another upstream's is not for this entry."""
    text = json.dumps([model.engine, model.options], sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Reported:
    """What the upstreams ask for a clip, as a worker reports it."""

    seconds: int
    resolution: str
    aspect_ratio: str | None
    audio: bool
    price_micros: int

    @property
    def clip(self) -> Clip:
        """The clip."""
        return Clip(self.seconds, self.resolution, self.aspect_ratio, self.audio)


class Prices:
    """Every price of one server; those that workers report are known as of a second ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reset()

    def reset(self) -> None:
        """Begin anew, with nothing known."""
        self._reported = Fresh(self._read, _FRESH_SECONDS)

    async def micros(self, model: Model, clip: Clip) -> int:
        """The price in micros; raises ModelOffline while the upstreams' is not known."""
        if model.upstream_price is None:
            return price_micros(model, clip)
        asked_micros = (await self._reported.get((model.id, terms(model)))).get(clip)
        if asked_micros is None:
            raise ModelOffline
        return with_margin(asked_micros, model.upstream_price.margin_percent, clip.seconds)

    async def unknown(self, model: Model) -> bool:
        """Whether no clip of the model has a price."""
        return model.upstream_price is not None and not await self._reported.get(
            (model.id, terms(model))
        )

    async def due(self, catalog: Catalog, lane: str) -> list[Model]:
        """The models of the lane whose upstreams have not been asked lately."""
        priced = [one for one in catalog.models.values() if one.upstream_price and one.lane == lane]
        if not priced:
            return []
        async with self._database.reading() as tx:
            lately = await tx.all(_Asked, "prices.lately", asked_seconds=ASKED_SECONDS)
        return [one for one in priced if _Asked(one.id, terms(one)) not in lately]

    async def report(
        self,
        catalog: Catalog,
        worker: Worker,
        model_id: str,
        bound_to: str,
        prices: Iterable[Reported],
    ) -> None:
        """Keep what the upstreams of a model ask; of a clip that is named twice the highest.

        Raises NotFound when the worker's lane has no such model, or not on these terms any more.
        """
        model = catalog.models.get(model_id)
        if (
            model is None
            or model.upstream_price is None
            or model.lane != worker.lane
            or terms(model) != bound_to
        ):
            raise NotFound
        highest = _highest(prices, set(clips(model)))
        named = highest.keys()
        # Each by itself: two reports at once must not wait for each other's rows.
        async with self._database.reading() as tx:
            await tx.run("prices.forget", kept_seconds=KEPT_SECONDS)
            await tx.run(
                "prices.report",
                model=model.id,
                terms=bound_to,
                seconds=[clip.seconds for clip in named],
                resolutions=[clip.resolution for clip in named],
                aspect_ratios=[clip.aspect_ratio or "" for clip in named],
                audios=[clip.audio for clip in named],
                prices_micros=list(highest.values()),
            )
        self._reported.forget((model.id, bound_to))

    async def _read(self, of: tuple[str, str]) -> Mapping[Clip, int]:
        async with self._database.reading() as tx:
            found = await tx.all(
                Reported, "prices.of", model=of[0], terms=of[1], kept_seconds=KEPT_SECONDS
            )
        return {one.clip: one.price_micros for one in found}


@dataclass(frozen=True, slots=True)
class _Asked:
    model: str
    terms: str


def _highest(prices: Iterable[Reported], able: set[Clip]) -> dict[Clip, int]:
    highest: dict[Clip, int] = {}
    for one in prices:
        if one.clip in able:
            highest[one.clip] = max(one.price_micros, highest.get(one.clip, 0))
    return highest
