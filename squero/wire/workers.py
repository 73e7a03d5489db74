"""What workers and the server say to each other under /worker/v1."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr

from squero.money import MICROS_PER_USD, MOST_USD
from squero.shot import NOTE_BYTES, is_note

ModelId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
FailureKind = Literal["bad_input", "out_of_memory", "upstream", "crash", "deadline", "cancelled"]


def _note(text: str) -> str:
    if not is_note(text):
        raise ValueError(f"A note has {NOTE_BYTES} bytes at most, all printable")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("It has characters that cannot be printed")
    return text


Reason = Annotated[StrictStr, Field(max_length=300), AfterValidator(_printable)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClaimRequest(_Request):
    """A worker asks for work; the answer waits until there is some."""

    warm: Annotated[list[StrictStr], Field(max_length=1000)] = []
    """The models that it has loaded."""
    troubles: Annotated[dict[ModelId, Reason], Field(max_length=1000)] = {}
    """The models that it cannot render, and why: their jobs are for others."""
    wait_seconds: Annotated[float, Field(ge=0, le=30)] = 20


class ProgressRequest(_Request):
    """How much is rendered."""

    progress: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    note: Annotated[StrictStr, AfterValidator(_note)] | None = None
    """What the engine wants the next attempt to know."""
    begins: StrictBool = False
    """Whether the render has only begun, having waited for its inputs or its turn."""


class FailureRequest(_Request):
    """An attempt that ended without a video."""

    kind: FailureKind
    message: Annotated[StrictStr, Field(max_length=200)] | None = None
    """For bad_input alone: what to tell the customer."""


class PriceEntry(_Request):
    """What the upstreams ask for one clip."""

    seconds: Annotated[int, Field(strict=True, gt=0)]
    resolution: StrictStr
    aspect_ratio: StrictStr | None
    audio: StrictBool
    price_micros: Annotated[int, Field(strict=True, ge=0, le=MOST_USD * MICROS_PER_USD)]


class PricesRequest(_Request):
    """The prices of a model, on the terms on which they were asked for."""

    model: StrictStr
    terms: StrictStr
    prices: Annotated[list[PriceEntry], Field(max_length=2000)]


class ClipAnswer(BaseModel):
    """A clip whose price is wanted, and a size that it may have."""

    seconds: int
    resolution: str
    aspect_ratio: str | None
    audio: bool
    width: int
    height: int
    frames: int
    fps: int


class PricedModelAnswer(BaseModel):
    """A model that costs what its upstreams ask."""

    id: str
    engine: str
    options: dict[str, object]
    terms: str
    """Comes back with the prices."""
    clips: list[ClipAnswer]
    """The same clip in several sizes costs what the dearest does."""


class WantedPricesAnswer(BaseModel):
    """The models of the worker's lane whose upstreams are to be asked now."""

    models: list[PricedModelAnswer]


class ShotAnswer(BaseModel):
    """The inputs of one render; each of `inputs` is fetched by its role."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    fps: int
    seed: int
    audio: bool
    resolution: str
    note: str | None
    """What the engine noted last, in an earlier attempt."""
    inputs: dict[str, str]
    """Role to media type."""


class NeedsAnswer(BaseModel):
    """What a machine must have to load a model."""

    gpus: int
    vram_gb: float
    ram_gb: float


class EntryAnswer(BaseModel):
    """A model of the worker's lane: what it takes to load it."""

    id: str
    engine: str
    options: dict[str, object]
    constraints: dict[str, object]
    needs: NeedsAnswer


class ModelsAnswer(BaseModel):
    """Every model of the worker's lane."""

    models: list[EntryAnswer]


class ClaimAnswer(BaseModel):
    """A job to render."""

    queue_id: UUID
    attempt: int
    model: str
    engine: str
    options: dict[str, object]
    shot: ShotAnswer
    deadline_seconds: int
    needs: NeedsAnswer
    keep_warm: bool
    """Whether it is among the last to leave when memory is needed for another."""


class GoOnAnswer(BaseModel):
    """The answer to a progress report; an attempt that is no longer current gets 409."""

    go_on: bool
    """False when the job was cancelled: no other attempt will come."""
