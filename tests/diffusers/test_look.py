"""What is seen of an entry without torch: the libraries here are stubs that break when imported."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.promises import short_side
from squero.engines.diffusers.source import LIBRARIES, source_of

PIPELINES = """
from ..pipeline_utils import DiffusionPipeline

class TextPipeline(DiffusionPipeline):
    _optional_components = ["vae"]

    def __init__(self, vae, tokenizer, transformer=None, expand_timesteps: bool = False):
        raise NotImplementedError

    def __call__(self, prompt=None, height: int = 480, width: int = 832, num_frames: int = 81,
                 num_inference_steps: int = 50, *, negative_prompt=None):
        raise NotImplementedError

class ImagePipeline(DiffusionPipeline):
    def __init__(self, vae, transformer):
        raise NotImplementedError

    def __call__(self, image, prompt=None, num_frames=81, height=480, last_image=None):
        raise NotImplementedError

class ScenePipeline(DiffusionPipeline):
    def __init__(self, vae, transformer):
        raise NotImplementedError

    def __call__(self, image, prompt=None, num_frames=81):
        raise NotImplementedError

class VideoPipeline(TextPipeline):
    def __call__(self, video, prompt=None, height=480):
        raise NotImplementedError

class PlacedPipeline(DiffusionPipeline):
    def __init__(self, vae, transformer, *, vocoder):
        raise NotImplementedError

    def __call__(self, conditions=None, prompt=None, num_frames=81, height=480):
        raise NotImplementedError

class PicturePipeline(DiffusionPipeline):
    def __init__(self, vae):
        raise NotImplementedError

    def __call__(self, prompt=None, height=480):
        raise NotImplementedError

class LaterPipeline(TextPipeline):
    pass
"""
CLIP = {"model_type": "text-to-video"}
Weights = Callable[..., Path]


@pytest.fixture(autouse=True)
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the names of the libraries in it."""
    root = tmp_path / "libraries"
    for name in LIBRARIES:
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text("raise AssertionError('imported')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    (root / "diffusers" / "pipelines" / "one").mkdir(parents=True)
    (root / "diffusers" / "pipelines" / "one" / "pipeline_one.py").write_text(PIPELINES)
    monkeypatch.syspath_prepend(root)
    source_of.cache_clear()
    yield root
    source_of.cache_clear()


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """A whole folder of weights, but for the changes."""

    def make(looks: dict[str, Any] | None = None, **index: Any) -> Path:
        folder = tmp_path / "weights"
        parts = {"tokenizer": ["transformers", "T5"], "vae": ["diffusers", "Vae"]}
        parts["transformer"] = ["diffusers", "Transformer"]
        index = {"_class_name": "TextPipeline", "image_encoder": [None, None]} | parts | index
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps(index))
        for name in parts:
            (folder / name).mkdir()
        for name in ("vae", "transformer"):
            (folder / name / "config.json").write_text(json.dumps(looks or {}))
            (folder / name / "weights.safetensors").touch()
        return folder

    return make


def told(folder: Path, pipeline: str = "TextPipeline", **more: Any) -> str | None:
    constraints = more.pop("constraints", None)
    return Diffusers(folder=str(folder), pipeline=pipeline, **more).missing(constraints)


def test_nothing(weights: Weights) -> None:
    folder = weights()
    assert told(folder) is None
    assert told(folder, constraints=CLIP, call={"num_inference_steps": 4}) is None


def test_a_library(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squero.engines.diffusers.source.find_spec", lambda name: None)
    assert told(weights()) == "torch is missing: install squero[diffusers]"


@pytest.mark.parametrize("name", ["VeoPipeline", "DiffusionPipeline", "Text", "__version__", "T.*"])
def test_a_class(weights: Weights, name: str) -> None:
    assert told(weights(), name) == f"options.pipeline: diffusers has no pipeline {name}"


class TestFolder:
    def test_none(self, tmp_path: Path) -> None:
        assert told(tmp_path) == f"options.folder: no model_index.json in {tmp_path}"

    @pytest.mark.parametrize(
        ("text", "words"),
        [("{", "cannot be read (JSONDecodeError)"), ("[]", "is no table"), ("[" * 9999, "be read")],
    )
    def test_of_something_else(self, weights: Weights, text: str, words: str) -> None:
        folder = weights()
        (folder / "model_index.json").write_text(text)
        assert words in (told(folder) or "")

    def test_without_a_component(self, weights: Weights) -> None:
        folder = weights()
        (folder / "tokenizer").rmdir()
        assert told(folder) == f"options.folder: no tokenizer in {folder}"

    def test_of_another_pipeline(self, weights: Weights) -> None:
        words = "options.folder: PlacedPipeline needs a vocoder"
        assert told(weights(), "PlacedPipeline") == words

    def test_without_weights(self, weights: Weights) -> None:
        folder = weights()
        (folder / "vae" / "weights.safetensors").unlink()
        assert told(folder) == f"options.folder: no safetensors in {folder}/vae"

    def test_cut_off_in_the_middle(self, weights: Weights) -> None:
        folder = weights()
        index = {"weight_map": {"a": "weights.safetensors", "b": "more.safetensors"}}
        (folder / "vae" / "weights.safetensors.index.json").write_text(json.dumps(index))
        assert told(folder) == f"options.folder: no more.safetensors in {folder}/vae"


class TestOptions:
    def test_an_argument(self, weights: Weights) -> None:
        words = "options.call.steps: TextPipeline has no such word"
        assert told(weights(), call={"steps": 4}) == words

    def test_a_lora(self, weights: Weights) -> None:
        words = "options.loras.0.file: there is no /nowhere"
        assert told(weights(), loras=[{"file": "/nowhere"}]) == words

    def test_an_inherited_call_is_left_to_the_loading(self, weights: Weights) -> None:
        assert told(weights(), "LaterPipeline", call={"steps": 4}, constraints=CLIP) is None


class TestConstraints:
    @pytest.mark.parametrize(
        ("pipeline", "index", "looks", "constraints", "words"),
        [
            (
                "TextPipeline",
                {},
                {},
                {"model_type": "image-to-video"},
                "model_type: it takes no im",
            ),
            ("TextPipeline", {}, {}, {"video_input": True}, "video_input: it takes no video"),
            ("TextPipeline", {}, {}, {"end_image": True}, "end_image: it takes no last image"),
            ("TextPipeline", {}, {}, {"audio": True}, "audio: it makes no sound"),
            ("TextPipeline", {"vocoder": [None, None]}, {}, {"audio": True}, "audio: it makes no"),
            ("PicturePipeline", {}, {}, {}, "model_type: it draws no video"),
            ("ImagePipeline", {}, {}, {}, "model_type: it needs an image"),
            ("VideoPipeline", {}, {}, {}, "model_type: it needs a video"),
            (
                "ImagePipeline",
                {"expand_timesteps": True},
                {},
                {"model_type": "image-to-video", "end_image": True},
                "end_image: it takes no last image",
            ),
            (
                "ImagePipeline",
                {},
                {"image_dim": 1280},
                {"model_type": "image-to-video", "end_image": True},
                "end_image: it takes no last image",
            ),
            (
                "ScenePipeline",
                {},
                {"target_size": 640},
                {"model_type": "image-to-video", "resolutions": ["480p", "720p"]},
                "resolutions: 720p is more than the 409600 pixels that it draws",
            ),
        ],
    )
    def test_what_the_model_cannot_do(
        self,
        weights: Weights,
        pipeline: str,
        index: dict[str, Any],
        looks: dict[str, Any],
        constraints: dict[str, Any],
        words: str,
    ) -> None:
        folder = weights(looks, **index)
        said = told(folder, pipeline, constraints=CLIP | constraints)
        assert said
        assert said.startswith(f"constraints.{words}")
        assert pipeline in said

    @pytest.mark.parametrize(
        ("pipeline", "looks", "constraints"),
        [
            ("ImagePipeline", {}, {"end_image": True}),
            ("ImagePipeline", {"image_dim": 4, "pos_embed_seq_len": 34}, {"end_image": True}),
            ("PlacedPipeline", {}, {"end_image": True, "audio": True}),
            ("ScenePipeline", {"target_size": 640}, {"resolutions": ("480p",)}),
        ],
    )
    def test_what_it_can(
        self,
        weights: Weights,
        pipeline: str,
        looks: dict[str, Any],
        constraints: dict[str, Any],
    ) -> None:
        folder = weights(looks, vocoder=["ltx2", "Vocoder"])
        (folder / "vocoder").mkdir()
        kind = {"model_type": "image-to-video", "audio_input": True}
        assert told(folder, pipeline, constraints=kind | constraints) is None

    def test_sides_by_name(self) -> None:
        sides = [short_side(name) for name in ("480p", "768P", "true_1080p", "2K", "4k", "what")]
        assert sides == [480, 768, 1080, 1440, 2160, 0]
