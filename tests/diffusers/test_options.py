import re
from pathlib import Path
from typing import Any

import pytest

from squero.engines import Engine
from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.options import Lora, Unready, read
from squero.shot import BadInput

LEAST = {"folder": "/weights", "pipeline": "WanPipeline"}


def test_the_least() -> None:
    options = read(LEAST)
    assert (options.folder, options.pipeline) == (Path("/weights"), "WanPipeline")
    assert options.call == {}
    assert options.loras == ()
    assert isinstance(Diffusers(**LEAST), Engine)


def test_all_of_them() -> None:
    options = read(
        LEAST
        | {
            "call": {"guidance_scale": 3.5},
            "fps": 16,
            "dtype": {"default": "bfloat16", "vae": "float32"},
            "offload": "model",
            "fp8": True,
            "attention": "flash",
            "compile": True,
            "cache": 0.05,
            "vae_tiling": True,
            "loras": [{"file": "/a", "weight": 1}, {"file": "/b", "transformer": "transformer_2"}],
        }
    )
    assert options.dtype == {"default": "bfloat16", "vae": "float32"}
    assert options.loras == (Lora(Path("/a")), Lora(Path("/b"), transformer="transformer_2"))


@pytest.mark.parametrize("fp8", [True, False, "compute"])
def test_8_bits(fp8: object) -> None:
    assert read(LEAST | {"fp8": fp8}).fp8 == fp8


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pipeline": None}, "options.pipeline: "),
        ({"steps": 4}, "options.steps: Unexpected"),
        ({"fps": "16"}, "options.fps: "),
        ({"fps": 0}, "options.fps: "),
        ({"dtype": "int4"}, "options.dtype"),
        ({"offload": "disk"}, "options.offload: Input should be 'model', 'sequential' or 'group'"),
        ({"fp8": 2}, "options.fp8: Input should be False, True or 'compute'"),
        ({"fp8": "weights"}, "options.fp8: Input should be False, True or 'compute'"),
        ({"cache": 1.0}, "options.cache: "),
        ({"loras": [{"file": "/a"}, {"weight": 1}]}, "options.loras.1.file: Field required"),
        ({"loras": [{"file": "/a", "scale": 1}]}, "options.loras.0.scale: Unexpected"),
        ({"call": {"num_frames": 81}}, "options.call.num_frames: the job decides this"),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(Unready, match=re.escape(words)):
        Diffusers(**LEAST | wrong)


def test_a_missing_one_is_named() -> None:
    with pytest.raises(BadInput, match=r"options\.folder: Field required"):
        Diffusers(pipeline="WanPipeline")
