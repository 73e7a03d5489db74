"""What a catalogue entry may say under `options` when its engine is `diffusers`."""

import json
from collections.abc import Iterator, Mapping
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


GUIDED = frozenset(
    {
        "CogVideoXImageToVideoPipeline",
        "CogVideoXPipeline",
        "CogVideoXVideoToVideoPipeline",
        "HunyuanVideo15ImageToVideoPipeline",
        "HunyuanVideo15Pipeline",
        "LTX2ConditionPipeline",
        "LTX2ImageToVideoPipeline",
        "LTX2Pipeline",
        "WanImageToVideoPipeline",
        "WanPipeline",
    }
)
"""The pipelines that say which of their calls is with the prompt, and which with the negative."""


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


Degree = Annotated[int, Field(ge=1, le=16)]


@dataclass(config=_CLOSED, frozen=True)
class Parallel:
    """How many GPUs draw one video: the product of all of these."""

    ulysses_degree: Degree = 1
    """Among how many the context is divided, each attending with a part of the heads."""
    ring_degree: Degree = 1
    """The same, each attending with all heads to one part after the other."""
    cfg_degree: Annotated[int, Field(ge=1, le=2)] = 1
    """2: one half computes with the prompt, the other with the negative prompt."""

    @property
    def names(self) -> tuple[str, str, str]:
        """Those of `shape`, in diffusers' words."""
        return ("cfg", "ring", "ulysses")

    @property
    def shape(self) -> tuple[int, int, int]:
        """How the ranks lie, the last nearest to one another."""
        return (self.cfg_degree, self.ring_degree, self.ulysses_degree)

    @property
    def context(self) -> int:
        """Among how many ranks the context is divided."""
        return self.ring_degree * self.ulysses_degree

    @property
    def ranks(self) -> int:
        """How many processes there are, and GPUs."""
        return self.context * self.cfg_degree


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
    parallel: Parallel | None = None
    """How several GPUs draw one video; None: one does."""


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
    for words in _apart(checked):
        raise Unready(f"options.parallel{words}")
    return checked


def _apart(options: Options) -> Iterator[str]:
    """What does not go together with several GPUs."""
    parallel = options.parallel
    if parallel is None:
        return
    if parallel.ranks == 1:
        yield ": one GPU is what there is without it"
    if parallel.ring_degree > 1 and parallel.ulysses_degree > 1:
        yield ".ring_degree: either this or ulysses_degree"
    if parallel.ring_degree > 1 and options.attention in (None, "native"):
        yield ".ring_degree: `native` attention cannot, name another, such as `_native_cudnn`"
    if parallel.context > 1 and options.cache:
        yield ": parts of a context would not agree when to use the cache"
    if parallel.cfg_degree > 1 and options.pipeline not in GUIDED:
        yield f".cfg_degree: not with {options.pipeline}"
