"""An upstream: where it is, how it is called there, and how much of the work it gets."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from squero.client import ApiError, Backoff, ClientError, Http, Unreachable
from squero.shot import BadInput


class OptionsRefused(ValueError):
    """The catalogue entry's upstreams cannot be used; the message names what is wrong."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Upstream:
    """One server that renders a model."""

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    """Ours for it: its key is in the variable that this names."""
    url: str
    model: Annotated[str, Field(min_length=1, max_length=200)]
    """What it calls the model."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Its part of the jobs, against the others' weights."""
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many jobs it gets at once from one machine's workers."""

    @property
    def variable(self) -> str:
        """What the worker's environment calls its key; with _FILE, the file that holds it."""
        return f"UPSTREAM_{re.sub('[^A-Z0-9]', '_', self.name.upper())}_KEY"

    def http(self, backoff: Backoff | None = None) -> Http:
        """Calls to it, with its key; raises ValueError for an address or a key that is none."""
        return Http(
            self.url,
            self._key(),
            backoff=backoff or PATIENCE,
            silence_seconds=SILENCE,
            answer_bytes=ANSWER_BYTES,
        )

    def _key(self) -> str | None:
        file = os.environ.get(f"{self.variable}_FILE")
        if file is not None:
            return Path(file).read_text("ascii").strip()
        return os.environ.get(self.variable)


ANSWER_BYTES = 1 << 20
"""The most that an answer may have that is no video."""
SILENCE = 60.0
"""Seconds that an upstream may take to say anything."""
PATIENCE = Backoff(tries=5, total_seconds=60.0, first_seconds=0.2, cap_seconds=5.0)


def read(options: Sequence[Mapping[str, Any]]) -> tuple[Upstream, ...]:
    """The upstreams of a catalogue entry's options; raises OptionsRefused."""
    try:
        found = TypeAdapter(tuple[Upstream, ...]).validate_python(tuple(options))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OptionsRefused(f"upstreams.{where}: {first['msg']}") from None
    if not found or len({one.name for one in found}) < len(found):
        raise OptionsRefused("upstreams: there must be one at least, and each has its own name")
    return found


class Away(Exception):
    """The upstream does not serve now, or says what cannot be understood."""

    def __init__(self, why: str, *, asked: bool = False) -> None:
        super().__init__(why)
        self.asked = asked
        """Whether the call may have reached it although its answer did not reach us."""


class Gone(Exception):
    """The upstream does not know the job any more."""


class Broke(Exception):
    """The upstream's job ended without a video that can be used."""


@plain(frozen=True, slots=True)
class Ready:
    """The upstream's video can be had: by its id, or at an address of its own."""

    url: str | None = field(default=None, repr=False)


GATEWAY_TIMEOUT = 504
"""Said by what stands before the upstream, for an answer that was lost behind it."""
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
REFUSED = (400, 413, 422)
REFUSAL = "The input was refused by the server that renders this model"
"""The upstream's own words may quote the prompt, and would be kept in the clear."""


def away(error: ClientError) -> Away:
    """What an answer means that says nothing about the job."""
    if isinstance(error, Unreachable):
        cause = error.__cause__
        return Away(type(cause).__name__, asked=not isinstance(cause, UNSENT))
    status = getattr(error, "status", None)
    return Away(str(status or type(error).__name__), asked=status == GATEWAY_TIMEOUT)


def is_there(error: ClientError) -> bool:
    """Whether what answered so is a server that works: a refusal is an answer too."""
    if isinstance(error, ApiError):
        return error.status < 500
    return not isinstance(error, Unreachable)


def not_taken(error: ClientError) -> Away | BadInput:
    """What the answer to an offer means that is no success."""
    if isinstance(error, ApiError) and error.status in REFUSED:
        return BadInput(REFUSAL)
    return away(error)
