"""A tiny model of every family through the real loading, held to the contract of engines."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

import diffusers

from squero.engines.diffusers import Diffusers
from squero.engines.diffusers.arguments import Abilities
from squero.engines.diffusers.folder import Folder
from squero.engines.diffusers.source import source_of
from squero.shot import Shot
from squero.testing import engine_contract

from . import tiny

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("default")]

LTX = {"spatio_temporal_guidance_blocks": [1]}
COG = {"max_sequence_length": 16}


@dataclass(frozen=True)
class Family:
    pipeline: str
    parts: Callable[[], tiny.Parts]
    media: tuple[str, ...] = ()
    call: dict[str, Any] | None = None
    audio: bool = False


FAMILIES = {
    "wan 2.1": Family("WanPipeline", tiny.wan),
    "wan 2.1, image": Family("WanImageToVideoPipeline", tiny.wan_image, ("image",)),
    "wan 2.1, ends": Family("WanImageToVideoPipeline", tiny.wan_ends, ("image", "end_image")),
    "wan 2.1, video": Family("WanVideoToVideoPipeline", tiny.wan, ("video",), {"strength": 0.7}),
    "wan 2.2 a14b": Family("WanPipeline", tiny.wan_experts),
    "wan 2.2 a14b, ends": Family(
        "WanImageToVideoPipeline", partial(tiny.wan_experts, 36), ("image", "end_image")
    ),
    "wan 2.2 5b": Family("WanPipeline", tiny.wan_dense),
    "wan 2.2 5b, image": Family("WanImageToVideoPipeline", tiny.wan_dense, ("image",)),
    "ltx-2": Family("LTX2Pipeline", tiny.ltx, (), LTX, True),
    "ltx-2, image": Family("LTX2ImageToVideoPipeline", tiny.ltx, ("image",), LTX, True),
    "ltx-2, ends": Family("LTX2ConditionPipeline", tiny.ltx, ("image", "end_image"), LTX, True),
    "hunyuan 1.5": Family("HunyuanVideo15Pipeline", tiny.hunyuan),
    "hunyuan 1.5, image": Family(
        "HunyuanVideo15ImageToVideoPipeline", tiny.hunyuan_image, ("image",)
    ),
    "cogvideox": Family("CogVideoXPipeline", tiny.cog, (), COG),
    "cogvideox, image": Family(
        "CogVideoXImageToVideoPipeline", partial(tiny.cog, 8), ("image",), COG
    ),
    "cogvideox, video": Family("CogVideoXVideoToVideoPipeline", tiny.cog, ("video",), COG),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_contract(name: str, tmp_path: Path, image: Path, video: Path) -> None:
    family = FAMILIES[name]
    made = getattr(diffusers, family.pipeline)(**tiny.seeded(family.parts))
    made.save_pretrained(tmp_path)
    engine = Diffusers(
        folder=str(tmp_path),
        pipeline=family.pipeline,
        call={"num_inference_steps": 2} | (family.call or {}),
    )
    kind = {"image": "image-to-video", "video": "video"}
    constraints = {
        "model_type": kind.get("".join(family.media[:1]), "text-to-video"),
        "end_image": "end_image" in family.media,
        "audio": family.audio,
    }
    assert engine.missing(constraints) is None
    there = {"image": image, "end_image": image, "video": video}
    media = {role: there[role] for role in family.media}
    shot = Shot("a lagoon", 50, 34, 8, 8, 7, audio=family.audio, media=media)
    engine_contract(engine, shot, stop_seconds=60)
    assert replace(engine._able, condition=None) == unloaded(family.pipeline, tmp_path)


def unloaded(pipeline: str, path: Path) -> Abilities:
    """What can be told of a model before it is loaded."""
    source, folder = source_of(pipeline), Folder(path)
    assert source
    return Abilities.by(source.takes, folder.index, folder.looks)
