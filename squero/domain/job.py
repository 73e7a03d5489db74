"""A new job: everything that its row holds, worked out before the transaction."""

import json
import secrets
from collections.abc import Mapping
from datetime import date

from anyio import to_thread
from psycopg.types.json import Jsonb

from squero.domain.clip import FPS, Clip, frame_size
from squero.domain.inputs import Input, Sealing
from squero.domain.intake import Job
from squero.domain.keys import Caller
from squero.domain.model import Model
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.media.look import Footage, Picture
from squero.media.sealed import seal

_SEEDS = 2**31


async def make(
    yard: Yard,
    caller: Caller,
    model: Model,
    clip: Clip,
    request: VideoRequest,
    sealing: Sealing,
    found: Mapping[str, Input],
) -> Job:
    """The job of a checked request; its seed is drawn here, so every attempt renders the same."""
    width, height = frame_size(clip, _shape(found))
    words = json.dumps({"prompt": request.prompt, "negative_prompt": request.negative_prompt})
    estimate_us = await yard.outlook.render_us(model, clip.resolution, clip.frames)
    return Job(
        queue_id=sealing.queue_id,
        account_id=caller.account_id,
        key_id=caller.key_id,
        model=model.id,
        lane=model.lane,
        resolution=clip.resolution,
        width=width,
        height=height,
        frames=clip.frames,
        fps=FPS,
        audio=clip.audio,
        seed=secrets.randbelow(_SEEDS),
        prompt=seal(sealing.key("prompt"), words.encode()),
        inputs=Jsonb({role: one.media_type for role, one in found.items()}),
        key_day=caller.today,
        wrapped_key=await _wrapped(yard, sealing, caller.today),
        price_micros=await yard.prices.micros(model, clip),
        estimate_us=estimate_us,
        expected_wait_us=await yard.outlook.wait_us(model.lane, caller.account_id, estimate_us),
    )


def _shape(found: Mapping[str, Input]) -> tuple[int, int] | None:
    """Width and height of what the video starts from."""
    start = found.get("image", found.get("video"))
    return (start.width, start.height) if isinstance(start, Picture | Footage) else None


async def _wrapped(yard: Yard, sealing: Sealing, day: date) -> bytes:
    """The generation's key as it is stored; in a thread only when the day's key must be read."""
    wrapped = yard.keyring.wrap_at_once(sealing.generation_key, day)
    if wrapped is not None:
        return wrapped
    return await to_thread.run_sync(yard.keyring.wrap, sealing.generation_key, day)
