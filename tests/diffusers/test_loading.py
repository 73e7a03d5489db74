"""What an entry's options do to a tiny Wan, and what a job's fields do to its frames."""

import json
import os
import re
import shutil
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from shutil import which
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import torch
from diffusers import (
    CogVideoXPipeline,
    LTX2Pipeline,
    WanImageToVideoPipeline,
    WanPipeline,
    WanVideoToVideoPipeline,
)
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch._inductor import config as inductor

from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.options import Unready
from squero.shot import BadInput, Shot, Stopped

from . import tiny

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("default")]

Frames = NDArray[np.uint8]
Ready = Callable[..., Diffusers]
STEPS = {"num_inference_steps": 2}
LTX = STEPS | {"spatio_temporal_guidance_blocks": [1]}
SHOT = Shot("a lagoon", 32, 32, 5, 8, 7)
HEARD = Shot("a lagoon", 50, 34, 8, 8, 7, audio=True)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each tiny model."""
    folder = tmp_path_factory.mktemp("weights")
    for name, kind, parts in (
        ("cog", CogVideoXPipeline, tiny.cog),
        ("text", WanPipeline, tiny.wan),
        ("experts", WanPipeline, tiny.wan_experts),
        ("image", WanImageToVideoPipeline, tiny.wan_image),
        ("dense", WanPipeline, tiny.wan_dense),
        ("sound", LTX2Pipeline, tiny.ltx),
    ):
        kind(**tiny.seeded(parts)).save_pretrained(folder / name)
    return folder


@pytest.fixture
def ready(weights: Path) -> Ready:
    """A loaded engine over one of the folders, its options changed by keywords."""

    def make(folder: str = "text", pipeline: str = "WanPipeline", **options: Any) -> Diffusers:
        options = {"call": STEPS} | options
        engine = Diffusers(folder=str(weights / folder), pipeline=pipeline, **options)
        engine.load()
        return engine

    return make


@pytest.fixture
def seen(tmp_path: Path) -> Callable[[Diffusers, Shot], Frames]:
    """The frames of a shot through an engine."""

    def render(engine: Diffusers, shot: Shot = SHOT) -> Frames:
        out = tmp_path / "out.mp4"
        engine.render(shot, out, lambda share, note=None: None)()
        with av.open(str(out)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.asarray(frames)

    return render


def differ(one: Frames, other: Frames) -> float:
    return float(np.abs(one.astype(int) - other).mean())


class TestOptions:
    def test_types_by_component(self, ready: Ready) -> None:
        parts = ready(dtype={"default": "bfloat16", "vae": "float32"})._pipeline.components
        assert parts["transformer"].dtype == parts["text_encoder"].dtype == torch.bfloat16
        assert parts["vae"].dtype == torch.float32

    @pytest.mark.parametrize(
        "options",
        [
            {"dtype": "bfloat16"},
            {"fp8": True},
            {"attention": "_native_math"},
            {"vae_tiling": True},
            {"dtype": "bfloat16", "fp8": True, "attention": "native", "cache": 0.1},
        ],
        ids=str,
    )
    def test_hardly_changes_what_is_drawn(
        self, ready: Ready, seen: Callable[..., Frames], options: dict[str, Any]
    ) -> None:
        assert differ(seen(ready()), seen(ready(**options))) < 8

    def test_weights_in_8_bits(self, ready: Ready) -> None:
        pipeline = ready("experts", fp8=True)._pipeline
        for transformer in (pipeline.transformer, pipeline.transformer_2):
            kept = {weight.dtype for weight in transformer.blocks.parameters()}
            assert torch.float8_e4m3fn in kept

    @pytest.mark.skipif(which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
    @pytest.mark.timeout(600)
    def test_blocks_are_compiled(
        self,
        ready: Ready,
        seen: Callable[..., Frames],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # Half a minute of a core: no pool of compilers, no trying of vectors, nothing from before.
        monkeypatch.setattr(inductor, "compile_threads", 1)
        monkeypatch.setattr(inductor.cpp, "simdlen", 1)
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
        plain, compiled = ready(), ready(compile=True)
        torch._dynamo.utils.counters.clear()
        assert differ(seen(plain), seen(compiled)) < 2
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0

    def test_a_cache_skips_blocks(self, ready: Ready, seen: Callable[..., Frames]) -> None:
        counts = []
        for options in ({}, {"cache": 0.99}):
            engine = ready(call={"num_inference_steps": 6}, **options)
            block, runs = engine._pipeline.transformer.blocks[-1], []
            block.attn1.register_forward_hook(lambda *_, runs=runs: runs.append(1))
            seen(engine)
            counts.append(len(runs))
        assert 0 < counts[1] < counts[0]

    @pytest.mark.parametrize("expert", ["transformer", "transformer_2"])
    def test_a_lora_is_added(
        self, ready: Ready, seen: Callable[..., Frames], tmp_path: Path, expert: str
    ) -> None:
        plain = ready("experts")
        file = lora_of(plain, tmp_path)
        bare = seen(ready("experts"))
        faint, strong = (
            seen(ready("experts", loras=[{"file": str(file), "weight": w, "transformer": expert}]))
            for w in (0.0, 1.0)
        )
        assert differ(bare, faint) == 0
        assert differ(bare, strong) > 0


class TestWrongOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"folder": "nowhere"}, "options.folder: no model_index.json in /"),
            ({"pipeline": "VeoPipeline"}, "options.pipeline: diffusers 0."),
            ({"pipeline": "__version__"}, "options.pipeline: diffusers 0."),
            ({"call": {"guidance": 1}}, "options.call.guidance: WanPipeline has no such word"),
            ({"attention": "eyes"}, "options.attention: "),
            ({"offload": "model"}, "options.offload: there is no accelerator"),
            ({"loras": [{"file": "/nowhere"}]}, "options.loras.0.file: there is no /nowhere"),
        ],
    )
    @pytest.mark.skipif(torch.cuda.is_available(), reason="offload is right where there is a GPU")
    def test_is_named(self, ready: Ready, options: dict[str, Any], words: str) -> None:
        with pytest.raises(Unready, match=re.escape(words)):
            ready(**options)

    def test_a_model_without_blocks_is_not_compiled(self, ready: Ready) -> None:
        with pytest.raises(Unready, match=r"options\.compile: .*_repeated_blocks"):
            ready("cog", "CogVideoXPipeline", compile=True)

    def test_a_file_is_missing(self, weights: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(weights / "text", tmp_path / "text"))
        (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
        with pytest.raises(Unready, match=r"options\.folder: .*vae"):
            Diffusers(folder=str(folder), pipeline="WanPipeline").load()

    def test_a_file_is_cut_off(self, weights: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(weights / "text", tmp_path / "text"))
        file = folder / "vae" / "diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:-1000])
        with pytest.raises(Unready, match=r"options\.folder: "):
            Diffusers(folder=str(folder), pipeline="WanPipeline").load()

    def test_a_lora_of_another_model(self, ready: Ready, tmp_path: Path) -> None:
        file = tmp_path / "lora.safetensors"
        layer = "transformer.blocks.0.attn1.to_q.lora"
        sizes = {f"{layer}_A.weight": (4, 99), f"{layer}_B.weight": (99, 4)}
        save_file({name: torch.ones(size) for name, size in sizes.items()}, file)
        with pytest.raises(Unready, match=r"options\.loras\.0\.file"):
            ready(loras=[{"file": str(file)}])

    def test_code_in_the_folder_is_not_run(self, weights: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(weights / "text", tmp_path / "text"))
        index = json.loads((folder / "model_index.json").read_text())
        index["vae"] = ["evil", "Vae"]
        (folder / "model_index.json").write_text(json.dumps(index))
        (folder / "vae" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(Unready, match=r"options\.folder"):
            Diffusers(folder=str(folder), pipeline="WanPipeline").load()
        assert not (tmp_path / "ran").exists()


class TestShot:
    def test_the_pace_of_the_model(self, ready: Ready, seen: Callable[..., Frames]) -> None:
        """Every other frame of one that draws 8 a second is between two of its own."""
        shot = replace(SHOT, frames=9, fps=16)
        frames = seen(ready(fps=8), shot).astype(int)
        between = (frames[0:-1:2] + frames[2::2]) / 2
        assert len(frames) == 9
        assert np.abs(frames[1::2] - between).mean() < 3

    @pytest.mark.parametrize("field", ["seed", "prompt", "negative_prompt"])
    def test_a_field_matters(self, ready: Ready, seen: Callable[..., Frames], field: str) -> None:
        engine = ready()
        other = {"seed": 8, "prompt": "a mountain", "negative_prompt": "blur"}[field]
        changed = replace(SHOT, **{field: other})  # type: ignore[arg-type]
        assert differ(seen(engine), seen(engine, changed)) > 0

    def test_the_image_matters(
        self, ready: Ready, seen: Callable[..., Frames], image: Path, tmp_path: Path
    ) -> None:
        engine = ready("image", "WanImageToVideoPipeline")
        Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
        one, other = (
            seen(engine, replace(SHOT, media={"image": path}))
            for path in (image, tmp_path / "red.png")
        )
        assert differ(one, other) > 0

    def test_the_strength_matters(
        self, ready: Ready, seen: Callable[..., Frames], video: Path
    ) -> None:
        shot = replace(SHOT, media={"video": video})
        one, other = (
            seen(ready(pipeline=WanVideoToVideoPipeline.__name__, call=STEPS | call), shot)
            for call in ({"strength": 0.5}, {"strength": 1.0})
        )
        assert differ(one, other) > 0

    @pytest.mark.parametrize(
        ("model", "changes", "words"),
        [
            (("text", "WanPipeline"), {"media": ["image"]}, "takes no image"),
            (("text", "WanPipeline"), {"media": ["video"]}, "takes no video"),
            (("text", "WanPipeline"), {"audio": True}, "makes no sound"),
            (("image", "WanImageToVideoPipeline"), {}, "needs an image"),
            (("text", "WanVideoToVideoPipeline"), {}, "needs a video"),
            (
                ("image", "WanImageToVideoPipeline"),
                {"media": ["image", "end_image"]},
                "takes no end image",
            ),
            (
                ("dense", "WanImageToVideoPipeline"),
                {"media": ["image", "end_image"]},
                "takes no end image",
            ),
        ],
        ids=lambda value: str(value),
    )
    def test_what_the_model_cannot_do(
        self,
        ready: Ready,
        seen: Callable[..., Frames],
        image: Path,
        model: tuple[str, str],
        changes: dict[str, Any],
        words: str,
    ) -> None:
        media = dict.fromkeys(changes.get("media", ()), image)
        with pytest.raises(BadInput, match=f"This model {words}"):
            seen(ready(*model), replace(SHOT, **changes | {"media": media}))

    @pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
    def test_a_prompt_that_would_be_cut(
        self, ready: Ready, seen: Callable[..., Frames], field: str
    ) -> None:
        engine = ready(call=STEPS | {"max_sequence_length": 20})
        seen(engine, replace(SHOT, **{field: "b" * 20}))  # type: ignore[arg-type]
        with pytest.raises(BadInput) as refused:
            seen(engine, replace(SHOT, **{field: "b" * 21}))  # type: ignore[arg-type]
        assert str(refused.value) == "A prompt of 21 tokens; this model reads 20 at most"

    def test_a_stop_between_two_steps(self, ready: Ready, seen: Callable[..., Frames]) -> None:
        engine = ready(cache=0.5, call={"num_inference_steps": 4})
        before, told = seen(engine), []

        def tell(share: float, note: str | None = None) -> None:
            told.append(share)
            if share > 0.2:
                raise Stopped("Nobody wants it")

        with pytest.raises(Stopped):
            engine.render(SHOT, Path("/nowhere"), tell)
        assert told == [0.0, pytest.approx(0.24)]
        assert differ(before, seen(engine)) == 0


class TestSound:
    @pytest.fixture
    def heard(self, tmp_path: Path) -> Callable[[Diffusers, Shot], Any]:
        """The samples of a shot through an engine, or None without a track."""

        def render(engine: Diffusers, shot: Shot) -> Any:
            out = tmp_path / "out.mp4"
            engine.render(shot, out, lambda share, note=None: None)()
            with av.open(str(out)) as container:
                if not container.streams.audio:
                    return None
                track = container.streams.audio[0]
                assert track.duration * track.time_base == Fraction(shot.frames, shot.fps)
                return np.hstack([frame.to_ndarray() for frame in container.decode(track)])

        return render

    @pytest.fixture
    def tone(self, tmp_path: Path) -> Path:
        """A whole second of a loud, deep tone."""
        path = tmp_path / "tone.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(16000)
            turns = np.repeat(np.arange(16000), 2) * 200 / 16000
            file.writeframes((20000 * np.sin(2 * np.pi * turns)).astype("<i2").tobytes())
        return path

    def test_what_the_model_makes(
        self, ready: Ready, heard: Callable[[Diffusers, Shot], Any]
    ) -> None:
        engine = ready("sound", "LTX2Pipeline", call=LTX)
        made = [heard(engine, replace(HEARD, seed=seed)) for seed in (7, 7, 8)]
        assert 0 < np.abs(made[0]).max() <= 1
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])
        assert heard(engine, replace(HEARD, audio=False)) is None

    @pytest.mark.parametrize("folder", ["text", "sound"])
    def test_what_was_given(
        self, ready: Ready, heard: Callable[[Diffusers, Shot], Any], tone: Path, folder: str
    ) -> None:
        pipeline, call = {"text": ("WanPipeline", STEPS), "sound": ("LTX2Pipeline", LTX)}[folder]
        shot = replace(HEARD, media={"audio": tone})
        engine = ready(folder, pipeline, call=call)
        assert np.abs(heard(engine, shot)).max() == pytest.approx(20000 / 32768, abs=0.1)


def lora_of(engine: Diffusers, folder: Path) -> Path:
    """A LoRA's file, for either expert of Wan."""
    transformer = engine._pipeline.transformer
    torch.manual_seed(1)
    targets = ["to_q", "to_k", "to_v"]
    transformer.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    layers = get_peft_model_state_dict(transformer)
    layers = {name: 5 * weight for name, weight in layers.items()}
    WanPipeline.save_lora_weights(folder, transformer_lora_layers=layers)
    return folder / "pytorch_lora_weights.safetensors"
