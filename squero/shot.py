"""A Shot: the checked inputs of one render, and the ways in which a render can end badly.

The one thing that the job side and the pixel side of Squero have in common.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NOTE_BYTES = 1024
"""The longest note: escaped it grows threefold, which a report of the child still holds."""


def is_note(text: str) -> bool:
    """Whether an engine may tell this as a note."""
    return text.isprintable() and len(text.encode(errors="replace")) <= NOTE_BYTES


@dataclass(frozen=True, slots=True)
class Shot:
    """What an engine renders: exactly `frames` pictures of `width` by `height` at `fps`."""

    prompt: str
    width: int
    height: int
    frames: int
    fps: int
    seed: int
    negative_prompt: str = ""
    audio: bool = False
    """Whether the result carries a sound track."""
    media: Mapping[str, Path] = field(default_factory=dict)
    """Role ("image", …) to a local file that the engine may read."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Role to the media type of that file."""
    resolution: str = ""
    """The API's word for the size, such as "720p"."""
    key: str = ""
    """The same in every attempt at a job and in no other job: for a call that may be repeated."""
    note: str | None = None
    """What the engine last told with its progress, perhaps in an earlier attempt."""

    @property
    def seconds(self) -> float:
        """The exact length of the clip."""
        return self.frames / self.fps


class RenderError(Exception):
    """A render that ended without a video; `kind` is the word that travels to the server."""

    kind = "crash"


class BadInput(RenderError):
    """The customer's prompt or media cannot be rendered; trying again cannot help."""

    kind = "bad_input"


class OutOfMemory(RenderError):
    """The machine lacks memory for this shot."""

    kind = "out_of_memory"


class Crashed(RenderError):
    """The engine's process died or broke its protocol, or the engine raised: a strike."""

    kind = "crash"


class DeadlineExceeded(RenderError):
    """The render took longer than it may; the child was killed: a strike."""

    kind = "deadline"


class UpstreamFailed(RenderError):
    """The servers that render for us are away, or failed: a strike."""

    kind = "upstream"


class Stopped(RenderError):
    """Whoever asked for the render no longer wants it."""

    kind = "cancelled"
