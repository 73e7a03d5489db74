"""Looking into media: what a file really is, found by a sandboxed child that decodes it.

These are the faces of `squero.media.picture` and `squero.media.clip`, which no process but the
sandbox's imports. No header and no claim of a customer is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from squero.media.sealed import SealedFile
from squero.sandbox import Sandbox, SandboxDied, SandboxRefusal
from squero.shot import Shot

PICTURE = "squero.media.picture:redraw"
CLIP = "squero.media.clip:inspect"
FUNCTIONS = (PICTURE, CLIP)
"""The allow-list for the Sandbox that these functions are handed."""

UNREADABLE_PICTURE = "The image file is corrupted or unreadable"
UNREADABLE_CLIP = "The video file is corrupted or unreadable"

_PICTURE_SECONDS = 20.0
_CLIP_SECONDS = 120.0


class BadMedia(Exception):
    """Media that will not do; `message` is fit for whoever sent it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it was drawn anew: upright, sRGB, without metadata."""

    width: int
    height: int
    media_type: str
    """`image/jpeg` or `image/png`."""
    size: int
    """In plain bytes."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What is really in a video file."""

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    has_audio: bool
    size: int
    """In plain bytes."""


_Facts = TypeVar("_Facts", Picture, Clip)


async def look_at_picture(sandbox: Sandbox, source: SealedFile, target: SealedFile) -> Picture:
    """Decodes an image and seals it, drawn anew, into the target's file.

    Whatever the target's file held is replaced. Raises BadMedia with the contract's words.
    """
    arguments = {"source_key": source.key.hex(), "target_key": target.key.hex()}
    descriptors = (source.descriptor, target.descriptor)
    try:
        facts = await sandbox.run(PICTURE, arguments, descriptors, _PICTURE_SECONDS)
        return _record(Picture, facts)
    except SandboxRefusal as refusal:
        raise BadMedia(str(refusal)) from None
    except SandboxDied as death:
        raise BadMedia(UNREADABLE_PICTURE) from death


async def look_at_clip(sandbox: Sandbox, source: SealedFile, expected: Shot | None = None) -> Clip:
    """Reads an MP4 whole and decodes its ends; against `expected`, when that is given.

    Raises BadMedia when it is no sound MP4 or differs in size, frames, fps or sound.
    """
    try:
        facts = await sandbox.run(
            CLIP, {"source_key": source.key.hex()}, (source.descriptor,), _CLIP_SECONDS
        )
        clip = _record(Clip, facts)
    except SandboxRefusal as refusal:
        raise BadMedia(str(refusal)) from None
    except SandboxDied as death:
        raise BadMedia(UNREADABLE_CLIP) from death
    if expected is not None:
        _compare(clip, expected)
    return clip


def _compare(clip: Clip, shot: Shot) -> None:
    if (clip.width, clip.height) != (shot.width, shot.height):
        found = f"{clip.width}x{clip.height}"
        raise BadMedia(f"The video is {found}, not {shot.width}x{shot.height}")
    if clip.frames != shot.frames:
        raise BadMedia(f"The video has {clip.frames} frames, not {shot.frames}")
    if abs(clip.seconds - shot.seconds) > 0.5 / shot.fps:
        raise BadMedia(f"The video lasts {clip.seconds:.3f} s, not {shot.seconds:.3f} s")
    if clip.has_audio != shot.audio:
        raise BadMedia("The video has no sound" if shot.audio else "The video has sound")


def _record(kind: type[_Facts], facts: Mapping[str, Any]) -> _Facts:
    """The facts as a record; a child that was taken over may have said anything."""
    kinds = {field.name: field.type for field in fields(kind)}
    if kinds.keys() != facts.keys() or any(type(facts[name]) is not kinds[name] for name in kinds):
        raise SandboxDied("broken answer")
    return kind(**facts)
