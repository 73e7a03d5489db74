"""Two ranks on the processor, by gloo: what one draws, and how they end."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import diffusers
import torch
from diffusers.guiders import ClassifierFreeGuidance

from squero.engines.diffusers import Diffusers, dividing, ranks
from squero.engines.diffusers.options import Parallel, Unready
from squero.engines.host import Host
from squero.engines.reports import Listener
from squero.shot import BadInput, Crashed, Shot, Stopped

from . import tiny
from .test_families import COG, LTX

pytestmark = [
    pytest.mark.engines,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("default"),
]

SHOT = Shot("a lagoon", 32, 32, 5, 8, 7)
ULYSSES, GUIDANCE = {"ulysses_degree": 2}, {"cfg_degree": 2}


def guided() -> tiny.Parts:
    return tiny.hunyuan() | {"guider": ClassifierFreeGuidance(guidance_scale=6.0)}


MODELS: dict[str, tuple[str, Any, dict[str, Any], dict[str, int]]] = {
    "experts": ("WanPipeline", tiny.wan_experts, {}, ULYSSES | GUIDANCE),
    "dense": ("WanImageToVideoPipeline", tiny.wan_dense, {}, ULYSSES),
    "sound": ("LTX2Pipeline", tiny.ltx, LTX, GUIDANCE),
    "glyphs": ("HunyuanVideo15Pipeline", guided, {}, GUIDANCE),
    "cog": ("CogVideoXPipeline", tiny.cog, COG, GUIDANCE),
}


def options_of(weights: Path, name: str, **options: Any) -> dict[str, Any]:
    """An entry's options, over a folder that is made when it is first asked for."""
    kind, parts, call, _ = MODELS[name]
    folder = weights / name
    if not folder.exists():
        getattr(diffusers, kind)(**tiny.seeded(parts)).save_pretrained(folder)
    call = {"num_inference_steps": options.pop("steps", 2)} | call
    return {"folder": str(folder), "pipeline": kind, "call": call} | options


def host_of(weights: Path, name: str, **options: Any) -> Host:
    scratch = weights / "scratch"
    scratch.mkdir(exist_ok=True)
    options = options_of(weights, name, **options)
    return Host("diffusers", options, scratch, grace_seconds=120)


def seen(path: Path) -> NDArray[np.int64]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.asarray(frames, np.int64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parallel")


@pytest.mark.parametrize("name", MODELS)
def test_draws_what_one_draws(weights: Path, tmp_path: Path, image: Path, name: str) -> None:
    shot = replace(SHOT, media={"image": image}) if name == "dense" else SHOT
    if name == "sound":
        shot = replace(shot, width=128, height=96, audio=True)
    alone = Diffusers(**options_of(weights, name))
    alone.load()
    alone.render(shot, tmp_path / "alone.mp4", lambda share, note=None: None)()
    told: list[float] = []

    async def scenario() -> None:
        host = host_of(weights, name, parallel=MODELS[name][-1])
        try:
            await host.render(shot, tmp_path / "out.mp4", 300, Listener(told.append))
        finally:
            await host.aclose()

    asyncio.run(scenario())
    assert told[0] == 0
    assert told == sorted(told)
    frames = seen(tmp_path / "alone.mp4")
    assert frames.std() > 1
    assert np.abs(frames - seen(tmp_path / "out.mp4")).mean() < 0.5


def test_a_stop_ends_all_ranks_and_no_process(weights: Path, tmp_path: Path, image: Path) -> None:
    out = tmp_path / "out.mp4"
    shot = replace(SHOT, media={"image": image})

    async def scenario() -> None:
        host = host_of(weights, "dense", steps=3, parallel=ULYSSES)
        try:
            await host.render(shot, out, 300)
            before, processes = seen(out), family(host)
            assert len(processes) == 2
            if sys.platform == "linux":
                for process in processes:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    assert "Seccomp:\t2" in status, "It has a network"
            with pytest.raises(Stopped):
                await host.render(shot, out, 300, Listener(lambda share: host.stop()))
            with pytest.raises(BadInput, match="needs an image"):
                await host.render(SHOT, out, 300)
            await host.render(shot, out, 300)
            assert family(host) == processes
            assert np.array_equal(before, seen(out))
        finally:
            await host.aclose()
        assert_gone(processes)

    asyncio.run(scenario())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_dies_is_a_crash_of_all(weights: Path, tmp_path: Path, victim: int) -> None:
    async def scenario() -> None:
        host = host_of(weights, "cog", steps=500, parallel=GUIDANCE)
        killed: list[psutil.Process] = []

        def kill(share: float) -> None:
            if share > 0 and not killed:
                killed.extend(family(host))
                killed[victim].send_signal(signal.SIGKILL)

        try:
            with pytest.raises(Crashed):
                await host.render(SHOT, tmp_path / "out.mp4", 300, Listener(kill))
            assert len(killed) == 2
            assert_gone(killed)
        finally:
            await host.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("plan", [None, {"rope": {}}])
def test_a_model_that_cannot_be_split_is_named(plan: dict[str, Any] | None) -> None:
    transformer = SimpleNamespace(_cp_plan=plan, cross_attn_rope=None)
    with pytest.raises(Unready, match=r"options\.parallel: diffusers cannot split the context of"):
        dividing.split(transformer, SimpleNamespace(place="cpu"))


def test_too_few_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Unready, match=r"options\.parallel: it takes 2 GPUs, and there are 1"):
        ranks.require_devices(Parallel(cfg_degree=2))


class TestTurns:
    """Two branches in two threads, and a group that is a meeting of theirs."""

    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
        place, barrier = [None, None], threading.Barrier(2)

        def all_gather(answers: list[torch.Tensor], own: torch.Tensor, group: int) -> None:
            place[group] = own.clone()
            barrier.wait(30)
            for answer, one in zip(answers, place, strict=True):
                answer.copy_(one)
            barrier.wait(30)

        monkeypatch.setattr(dividing, "dist", SimpleNamespace(all_gather=all_gather))
        yield place

    def branches(self, work: Any) -> list[tuple[Any, list[float]]]:
        """What each gets, and the calls that it computed itself."""
        found: list[Any] = [None, None]

        def run(branch: int) -> None:
            calls: list[float] = []
            found[branch] = (work(*turns_of(branch, calls)), calls)

        threads = [threading.Thread(target=run, args=(branch,)) for branch in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return found

    def test_each_computes_one_of_two_calls(self, answers: list[Any]) -> None:
        def step(turns: dividing.Turns, pipeline: Any) -> list[float]:
            made = []
            for name, value in (("cond", 1.0), ("uncond", 2.0)):
                with turns.context(name):
                    made.append(turns.forward(hidden_states=torch.full((1, 3), value))[0])
            return [one.mean().item() for one in made]

        assert self.branches(step) == [([10, 20], [1]), ([10, 20], [2])]

    def test_each_computes_half_of_one(self, answers: list[Any]) -> None:
        def step(turns: dividing.Turns, pipeline: Any) -> list[float]:
            with turns.context("cond_uncond"):
                both = turns.forward(hidden_states=torch.tensor([[1.0], [2.0]]), fps=2)
            return both[0].flatten().tolist()

        assert self.branches(step) == [([10, 20], [1]), ([10, 20], [2])]

    def test_without_guidance_all_compute_all(self, answers: list[Any]) -> None:
        def step(turns: dividing.Turns, pipeline: Any) -> list[float]:
            pipeline.do_classifier_free_guidance = False
            with turns.context("cond"):
                return turns.forward(hidden_states=torch.ones(1, 3))[0].mean().item()

        assert self.branches(step) == [(10, [1]), (10, [1])]


def turns_of(branch: int, calls: list[float]) -> tuple[dividing.Turns, SimpleNamespace]:
    def forward(hidden_states: torch.Tensor, **more: Any) -> tuple[torch.Tensor]:
        calls.append(hidden_states.mean().item())
        return (10 * hidden_states,)

    mesh = {"cfg": SimpleNamespace(get_group=lambda: branch)}
    pipeline = SimpleNamespace(do_classifier_free_guidance=True)
    transformer = SimpleNamespace(forward=forward, cache_context=lambda name: threading.Lock())
    return dividing.Turns(
        pipeline, transformer, SimpleNamespace(branch=branch, mesh=mesh)
    ), pipeline


def family(host: Host) -> list[psutil.Process]:
    """The child and the ranks that it started."""
    assert host.pid
    child = psutil.Process(host.pid)
    return [child, *child.children()]


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
