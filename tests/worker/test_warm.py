"""Which engines stay loaded, which leave, and where they are."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from squero.engines.machine import GB, Gpu, Machine
from squero.needs import Needs
from squero.shot import Crashed
from squero.worker.job import Job
from squero.worker.warm import Loaded, Warm

pytestmark = pytest.mark.anyio

MACHINE = Machine(tuple(Gpu(n, f"GPU-{n}", 24 * GB) for n in range(2)), 64 * GB)
ONE = Job(uuid4(), 1, "one", "obedient", {"mark": "one"}, {}, 60, Needs(ram_gb=20), keep_warm=True)
TWO = dataclasses.replace(ONE, model="two", options={"mark": "two"})
GUEST = dataclasses.replace(ONE, model="guest", options={"mark": "guest"}, keep_warm=False)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "engines" / "plugin"))


@pytest.fixture
async def warm(tmp_path: Path) -> AsyncIterator[Warm]:
    warm = Warm(tmp_path, MACHINE)
    yield warm
    await warm.aclose()


async def used(warm: Warm, job: Job) -> Loaded:
    """The engine of a job that is over."""
    held = await warm.hold(job)
    warm.let_go(held)
    return held


class TestStays:
    async def test_one_engine_for_the_models_that_share_its_options(self, warm: Warm) -> None:
        first = await used(warm, ONE)
        assert await used(warm, dataclasses.replace(ONE, model="alias")) is first
        assert warm.models == ["alias", "one"]

    async def test_what_is_kept_warm_beside_others(self, warm: Warm) -> None:
        first = await used(warm, ONE)
        await used(warm, TWO)
        await used(warm, GUEST)
        assert warm.models == ["guest", "one", "two"]
        assert await used(warm, ONE) is first

    @pytest.mark.parametrize(
        ("engine", "options"),
        [("motion", {}), ("obedient", {"upstreams": []})],
        ids=["motion", "far"],
    )
    async def test_beside_what_takes_no_place(
        self, warm: Warm, engine: str, options: dict[str, object]
    ) -> None:
        first = await used(warm, GUEST)
        light = dataclasses.replace(
            GUEST, model="light", engine=engine, options=options, needs=Needs()
        )
        await used(warm, light)
        assert await used(warm, GUEST) is first
        assert warm.models == ["guest", "light"]


class TestLeaves:
    async def test_what_declares_nothing_and_is_not_kept_warm(self, warm: Warm) -> None:
        held = await used(warm, dataclasses.replace(GUEST, needs=Needs()))
        await held.host.load()
        assert held.host.pid is not None
        await used(warm, ONE)
        assert warm.models == ["one"]
        assert held.host.pid is None

    async def test_for_what_declares_nothing(self, warm: Warm) -> None:
        await used(warm, GUEST)
        await used(warm, TWO)
        await used(warm, dataclasses.replace(ONE, needs=Needs()))
        assert warm.models == ["one", "two"]

    async def test_the_least_recently_used_where_memory_is_short(self, warm: Warm) -> None:
        for job in (ONE, TWO, ONE):
            await used(warm, job)
        await used(warm, dataclasses.replace(GUEST, needs=Needs(ram_gb=30)))
        assert warm.models == ["guest", "one"]

    async def test_what_is_kept_warm_last(self, warm: Warm) -> None:
        for job in (ONE, TWO, GUEST):
            await used(warm, job)
        other = dataclasses.replace(ONE, model="other", options={"mark": "other"})
        await used(warm, other)
        assert warm.models == ["one", "other", "two"]

    async def test_once_its_job_is_over(self, warm: Warm) -> None:
        held = await warm.hold(dataclasses.replace(GUEST, needs=Needs(ram_gb=60)))
        coming = asyncio.create_task(warm.hold(ONE))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not coming.done()
        warm.let_go(held)
        await coming
        assert warm.models == ["one"]

    async def test_the_same_model_with_other_options(self, warm: Warm) -> None:
        await used(warm, ONE)
        other = await used(warm, dataclasses.replace(ONE, options={"mark": "less memory"}))
        assert other.options == {"mark": "less memory"}
        assert len(warm._loaded) == 1

    async def test_everything_idle_when_memory_ran_out(self, warm: Warm) -> None:
        await used(warm, ONE)
        await warm.hold(TWO)
        await warm.clear()
        assert warm.models == ["two"]


class TestGpus:
    async def test_each_gets_the_emptiest(self, warm: Warm) -> None:
        small = Needs(gpus=1, vram_gb=8)
        placed = []
        for number in range(3):
            job = dataclasses.replace(ONE, model=f"m{number}", options={"mark": f"{number}"})
            held = await used(warm, dataclasses.replace(job, needs=small))
            placed.append([gpu.index for gpu in held.gpus])
        assert placed == [[0], [1], [0]]

    async def test_one_leaves_when_no_gpu_has_room(self, warm: Warm) -> None:
        await used(warm, dataclasses.replace(ONE, needs=Needs(gpus=1, vram_gb=20)))
        await used(warm, dataclasses.replace(TWO, needs=Needs(gpus=1, vram_gb=20)))
        held = await used(warm, dataclasses.replace(GUEST, needs=Needs(gpus=1, vram_gb=20)))
        assert warm.models == ["guest", "two"]
        assert [gpu.index for gpu in held.gpus] == [0]

    async def test_several(self, warm: Warm) -> None:
        held = await used(warm, dataclasses.replace(ONE, needs=Needs(gpus=2, vram_gb=20)))
        assert [gpu.uuid for gpu in held.gpus] == ["GPU-0", "GPU-1"]

    async def test_none_is_asked_for(self, warm: Warm) -> None:
        assert (await used(warm, ONE)).gpus == ()


async def test_an_engine_that_is_not_installed(warm: Warm) -> None:
    with pytest.raises(Crashed, match="nowhere"):
        await warm.hold(dataclasses.replace(ONE, engine="nowhere"))
    assert warm.models == []
