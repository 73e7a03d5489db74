"""The engines that are loaded: which stay, which leave, and on which GPUs they are.

What declares its needs stays as long as there is room for all; then the least recently used leaves,
and those that their entries keep warm leave last. What declares none takes the place of others, and
they its, but for those that are kept warm.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squero.engines.host import Host
from squero.engines.machine import GB, Gpu, Machine
from squero.needs import Needs
from squero.shot import Crashed
from squero.worker.job import Job
from squero.worker.troubles import DEFAULT

UNTOLD = Needs()


def _takes_place(engine: str, options: Mapping[str, Any]) -> bool:
    """Whether it is one of those that may be large: others have upstreams, or draw by hand."""
    return engine != DEFAULT and "upstreams" not in options


@dataclass(eq=False, slots=True)
class Loaded:
    """An engine with its options, and the child that it lives in."""

    engine: str
    options: Mapping[str, Any]
    needs: Needs
    host: Host
    gpus: Sequence[Gpu]
    models: set[str] = field(default_factory=set)
    keep_warm: bool = False
    uses: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def serves(self, job: Job) -> bool:
        """Whether it is what the job asks for."""
        return (self.engine, self.options) == (job.engine, job.options)


class Warm:
    """The loaded engines of one worker, the least recently used first."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder = folder
        self._machine = machine
        self._loaded: list[Loaded] = []
        self._turn = asyncio.Lock()

    @property
    def models(self) -> list[str]:
        """The models that an engine is loaded for."""
        return sorted(set[str]().union(*(one.models for one in self._loaded)))

    async def hold(self, job: Job) -> Loaded:
        """The engine that the job asks for, to be let go; others make room for it.

        Raises Crashed when it is not installed.
        """
        async with self._turn:
            found = next((one for one in self._loaded if one.serves(job)), None)
            if found is None:
                found = await self._bring(job)
            else:
                self._loaded.remove(found)
            self._loaded.append(found)
        found.models.add(job.model)
        found.keep_warm = found.keep_warm or job.keep_warm
        found.uses += 1
        found.idle.clear()
        return found

    def let_go(self, held: Loaded) -> None:
        """The job is over: the engine may leave when another needs its place."""
        held.uses -= 1
        if not held.uses:
            held.idle.set()

    async def clear(self) -> None:
        """Have every engine leave that nobody uses: memory ran out."""
        async with self._turn:
            for one in [one for one in self._loaded if not one.uses]:
                await self._dismiss(one)

    async def aclose(self) -> None:
        """End every child, whatever it does."""
        for one in self._loaded:
            await one.host.aclose()
        self._loaded.clear()

    async def _bring(self, job: Job) -> Loaded:
        for one in [one for one in self._loaded if job.model in one.models]:
            await self._dismiss(one)
        if _takes_place(job.engine, job.options):
            await self._make_room(job.needs)
        gpus = self._place(job.needs) or ()
        try:
            host = Host(
                job.engine,
                job.options,
                self._folder,
                gpus=[gpu.uuid for gpu in gpus],
                most_bytes=self._machine.most_bytes(job.needs),
            )
        except LookupError as unknown:
            raise Crashed(str(unknown)) from None
        return Loaded(job.engine, job.options, job.needs, host, gpus)

    async def _make_room(self, needs: Needs) -> None:
        """Where either does not say what it needs, there is no room for both."""
        placed = [one for one in self._loaded if _takes_place(one.engine, one.options)]
        for one in placed:
            if not one.keep_warm and UNTOLD in (needs, one.needs):
                await self._dismiss(one)
        for one in sorted(placed, key=lambda one: one.keep_warm):
            if one in self._loaded and not self._has_room(needs):
                await self._dismiss(one)

    async def _dismiss(self, one: Loaded) -> None:
        """Once what it is about is done."""
        if one.uses:
            await one.idle.wait()
        await one.host.aclose()
        self._loaded.remove(one)

    def _has_room(self, needs: Needs) -> bool:
        taken = sum(one.needs.ram_gb for one in self._loaded) + needs.ram_gb
        return taken * GB <= self._machine.ram_bytes and self._place(needs) is not None

    def _place(self, needs: Needs) -> Sequence[Gpu] | None:
        """The GPUs with the most memory left, as many as it needs; None: too little is left."""
        count = needs.gpus or int(needs.vram_gb > 0)
        left = {gpu: gpu.vram_bytes - self._taken_bytes(gpu) for gpu in self._machine.gpus}
        roomy = sorted(left, key=left.__getitem__, reverse=True)[:count]
        fits = len(roomy) == count and all(left[gpu] >= needs.vram_gb * GB for gpu in roomy)
        return roomy if fits else None

    def _taken_bytes(self, gpu: Gpu) -> float:
        return sum(one.needs.vram_gb * GB for one in self._loaded if gpu in one.gpus)
