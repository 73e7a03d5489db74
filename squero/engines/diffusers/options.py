"""What a catalogue entry may say under `options` when its engine is `diffusers`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from squero.shot import BadInput

Dtype = Literal["bfloat16", "float16", "float32"]
Offload = Literal["model", "sequential", "group"]

OURS = frozenset(
    {
        "callback_on_step_end",
        "conditions",
        "frame_rate",
        "generator",
        "height",
        "image",
        "last_image",
        "negative_prompt",
        "num_frames",
        "num_videos_per_prompt",
        "output_type",
        "prompt",
        "return_dict",
        "video",
        "width",
    }
)
"""The arguments of a pipeline's call that the job decides."""


class Unready(BadInput):
    """The engine cannot load as its entry stands; the words name the option.

    A BadInput, since a child tells those alone in their own words: at loading they are the
    operator's to read, and no customer has written anything yet.
    """


_CLOSED = ConfigDict(extra="forbid")


@dataclass(config=_CLOSED, frozen=True)
class Lora:
    """Weights that are added to a transformer's: a file, and how much of it."""

    file: Path
    weight: float = 1.0
    transformer: Literal["transformer", "transformer_2"] = "transformer"
    """Which of two experts; the first is the one for much noise."""


@dataclass(config=_CLOSED, frozen=True)
class Options:
    """An entry's options, checked."""

    folder: Path
    """What the pipeline's `save_pretrained` wrote: `model_index.json` and a folder a component."""
    pipeline: str
    """The name of a class in diffusers."""
    call: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of the pipeline's call that no job decides, such as `guidance_scale`."""
    fps: Annotated[int, Field(ge=1, le=120)] | None = None
    """The pace at which the model has learnt to draw; None: that of the clip."""
    dtype: Dtype | Mapping[str, Dtype] | None = None
    """One for all components, or by name with `default`; None: bfloat16, on a CPU float32."""
    offload: Offload | None = None
    """What waits in main memory: whole components, single layers, or those as a stream."""
    fp8: Literal[False, True, "compute"] = False
    """Whether the transformers' weights are kept in 8 bits and widened layer by layer, or, with
    `compute`, also multiplied so."""
    attention: str | None = None
    """A back end of diffusers, such as `flash` or `_native_cudnn`."""
    compile: bool = False
    """Whether the transformers' repeated blocks are compiled; the first render takes longer."""
    cache: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The change of the first block below which a step takes the rest from the step before."""
    vae_tiling: bool = False
    """Whether pictures are decoded in tiles, with less memory."""
    loras: tuple[Lora, ...] = ()


_OPTIONS = TypeAdapter(Options)


def read(options: Mapping[str, object]) -> Options:
    """The options of an entry; raises Unready with the name of the first that is wrong."""
    try:
        # As JSON, where strictness still lets a list be a tuple and a table a record.
        checked = _OPTIONS.validate_json(json.dumps(options), strict=True)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unready(f"options.{where}: {first['msg']}") from None
    if taken := sorted(OURS & checked.call.keys()):
        raise Unready(f"options.call.{taken[0]}: the job decides this")
    return checked
