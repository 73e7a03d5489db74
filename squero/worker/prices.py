"""What upstreams ask, for the server: beside its claims a worker asks, and reports.

Which prices are wanted, and when, is the server's to say. The engines that ask live in children of
their own, which end when the answers are there: no render waits for a price.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import structlog

from squero.client import ClientError, Http
from squero.engines.host import Host
from squero.shot import RenderError, Shot

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often the server is asked which prices it wants; mostly it wants none."""
PATIENCE = 3
"""How many questions for a model may fail before it is left for the next time."""
CLIP = ("seconds", "resolution", "aspect_ratio", "audio")
"""What names a clip in a report."""
PATH = "/worker/v1/prices"


class Prices:
    """One worker's questions and reports; its children work in `folder`."""

    def __init__(self, http: Http, folder: Path) -> None:
        self._http = http
        self._folder = folder

    async def run(self) -> None:
        """Ask and report for ever."""
        while True:
            try:
                await self.report()
            except ClientError:
                pass  # the server is away, as the claims find out too
            except Exception as error:
                log.error("no prices", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def report(self) -> None:
        """Ask for what the server wants to know now, and tell it; raises ClientError."""
        answer = await self._http.request("GET", PATH, retry=False)
        for model in answer.json()["models"]:
            prices = await self._asked(model)
            log.info("prices", model=model["id"], wanted=len(model["clips"]), told=len(prices))
            if prices:
                told = {"model": model["id"], "terms": model["terms"], "prices": prices}
                await self._http.request("POST", PATH, json=told, retry=False)

    async def _asked(self, model: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What its upstreams ask for each clip that they have a price for."""
        engine, options, clips = model["engine"], model["options"], model["clips"]
        try:
            host = Host(engine, options, self._folder, prices_alone=True)
        except LookupError as unknown:
            log.warning("no price", model=model["id"], why=str(unknown))
            return []
        prices: list[dict[str, Any]] = []
        unasked, failures = deque(clips), 0
        async with aclosing(host):
            while unasked and failures < PATIENCE:
                clip = unasked.popleft()
                try:
                    prices += await _price(host, clip)
                except RenderError as failed:
                    failures += 1
                    unasked.append(clip)
                    log.warning("no price", model=model["id"], why=str(failed))
        return prices


async def _price(host: Host, clip: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The clip with its price, if there is one."""
    micros = await host.price(_shot(clip))
    if micros is None:
        return []
    return [{name: clip[name] for name in CLIP} | {"price_micros": micros}]


def _shot(clip: Mapping[str, Any]) -> Shot:
    """A shot that would cost what the clip does."""
    names = ("width", "height", "frames", "fps", "audio", "resolution")
    return Shot(prompt="", seed=0, **{name: clip[name] for name in names})
