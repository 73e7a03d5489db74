import re
from pathlib import Path
from typing import Any

import pytest

from squero.engines import Engine
from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.options import Lora, Parallel, Unready, read
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
            "parallel": {"cfg_degree": 2},
            "loras": [{"file": "/a", "weight": 1}, {"file": "/b", "transformer": "transformer_2"}],
        }
    )
    assert options.dtype == {"default": "bfloat16", "vae": "float32"}
    assert options.parallel == Parallel(cfg_degree=2)
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
        ({"parallel": 2}, "options.parallel: "),
        ({"parallel": {}}, "options.parallel: one GPU is what there is without it"),
        ({"parallel": {"gpus": 2}}, "options.parallel.gpus: Unexpected"),
        ({"parallel": {"cfg_degree": 3}}, "options.parallel.cfg_degree: "),
        ({"parallel": {"ulysses_degree": 0}}, "options.parallel.ulysses_degree: "),
        ({"parallel": {"ring_degree": 2}}, "options.parallel.ring_degree: `native` attention"),
        (
            {"parallel": {"ring_degree": 2, "ulysses_degree": 2}, "attention": "flash"},
            "options.parallel.ring_degree: either this or ulysses_degree",
        ),
        ({"parallel": {"ulysses_degree": 2}, "cache": 0.1}, "options.parallel: parts of a context"),
        (
            {"parallel": {"cfg_degree": 2}, "pipeline": "WanVideoToVideoPipeline"},
            "options.parallel.cfg_degree: not with WanVideoToVideoPipeline",
        ),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(Unready, match=re.escape(words)):
        Diffusers(**LEAST | wrong)


def test_ranks() -> None:
    parallel = Parallel(ulysses_degree=4, cfg_degree=2)
    assert (parallel.ranks, parallel.context, parallel.shape) == (8, 4, (2, 1, 4))
    assert parallel.names == ("cfg", "ring", "ulysses")


@pytest.mark.parametrize("parallel", [None, {"cfg_degree": 2}])
def test_ranks_alone_ask_for_a_network(parallel: dict[str, int] | None) -> None:
    engine = Diffusers(**LEAST, **({"parallel": parallel} if parallel else {}))
    assert engine.network == bool(parallel)


def test_a_missing_one_is_named() -> None:
    with pytest.raises(BadInput, match=r"options\.folder: Field required"):
        Diffusers(pipeline="WanPipeline")
