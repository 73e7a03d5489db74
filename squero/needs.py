"""What a model needs of the machine that renders it: a word of catalogue and engines alike."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(config=ConfigDict(extra="forbid"), frozen=True)
class Needs:
    """What must be there before it is loaded; a GB is a billion bytes, as on a GPU's box."""

    gpus: Annotated[int, Field(ge=0)] = 0
    vram_gb: Amount = 0
    """Of each of its GPUs; of one, where no number is told."""
    ram_gb: Amount = 0
