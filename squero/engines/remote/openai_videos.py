"""The engine `openai-videos`: servers that speak /v1/videos, such as SGLang, vLLM-Omni, LiteLLM."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from squero.client import ApiError, ClientError, Http
from squero.client.errors import json_object
from squero.engines.remote.relay import Relay
from squero.engines.remote.ticket import Taken, is_id
from squero.engines.remote.upstream import (
    REFUSAL,
    Away,
    Broke,
    Gone,
    Ready,
    Upstream,
    away,
    is_there,
    not_taken,
)
from squero.shot import BadInput, Shot

BLAMES_THE_INPUT = ("moderation", "policy", "safety", "invalid", "unsupported")
"""In the code of an error: trying again would not help."""
Part = tuple[str, tuple[str | None, bytes, str | None]]


def engine(upstreams: Sequence[Mapping[str, Any]], *, strict: bool = False) -> Relay:
    """The engine over these upstreams; a strict one sends no field beyond the original four."""
    return Relay(OpenaiVideos(strict), [_rooted(one) for one in upstreams])


def _rooted(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with the server's root for a URL that ends in /v1, as clients are given it."""
    url = options.get("url")
    if not isinstance(url, str):
        return options
    return {**options, "url": url.rstrip("/").removesuffix("/v1")}


class OpenaiVideos:
    """POST /v1/videos, GET it, GET its content, DELETE it."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    async def start(self, http: Http, at: Upstream, shot: Shot, key: str) -> Taken:
        """The new job, for the same key the same where the server heeds it."""
        form = httpx.Request("POST", "http://form", files=[*self._fields(at, shot), *_inputs(shot)])
        headers = {"content-type": form.headers["content-type"], "idempotency-key": key}
        try:
            answer = await http.request(
                "POST", "/v1/videos", content=form.read(), headers=headers, retry=False
            )
        except ClientError as error:
            raise not_taken(error) from None
        id = json_object(answer).get("id")  # noqa: A001
        if not is_id(id):
            raise Away("an answer without an id")
        return Taken(str(id))

    async def look(self, http: Http, at: Upstream, job: Taken) -> float | Ready:
        """The status of the job, with its percentage."""
        try:
            answer = await http.request("GET", f"/v1/videos/{job.id}", retry=False)
        except ClientError as error:
            raise _lost(error) from None
        body = json_object(answer)
        match body.get("status"):
            case "completed":
                return Ready()
            case "queued" | "in_progress":
                done = body.get("progress")
                return done / 100 if isinstance(done, int | float) and 0 <= done <= 100 else 0.0
            case "failed":
                raise _verdict(body.get("error"))
        raise Away("a status that is none")

    async def fetch(self, http: Http, at: Upstream, job: Taken, ready: Ready, target: Path) -> None:
        """The content, which goes on where it broke off."""
        try:
            await http.download("GET", f"/v1/videos/{job.id}/content", target)
        except ClientError as error:
            raise _lost(error) from None

    async def forget(self, http: Http, at: Upstream, job: Taken) -> None:
        """Delete it, whether it is done or not."""
        try:
            await http.request("DELETE", f"/v1/videos/{job.id}")
        except ClientError as error:
            raise _lost(error) from None

    async def serves(self, http: Http, at: Upstream) -> bool:
        """Whether it answers: its list of models need not be there, nor be true."""
        try:
            await http.request("GET", "/v1/models", retry=False)
        except ClientError as error:
            if not is_there(error):
                raise
        return True

    def _fields(self, at: Upstream, shot: Shot) -> list[Part]:
        """The fields as parts without a file name: not every server reads JSON here."""
        fields: dict[str, object] = {
            "model": at.model,
            "prompt": shot.prompt,
            "size": f"{shot.width}x{shot.height}",
            "seconds": f"{shot.seconds:g}",
        }
        if not self._strict:
            fields |= {"fps": shot.fps, "num_frames": shot.frames, "seed": shot.seed}
            fields |= {"negative_prompt": shot.negative_prompt} if shot.negative_prompt else {}
        return [(name, (None, str(value).encode(), None)) for name, value in fields.items()]


def _inputs(shot: Shot) -> list[Part]:
    """What the shot starts from, as bytes; raises BadInput for what has no place in this API."""
    if len(shot.media) > 1 or not shot.media.keys() <= {"image", "video"}:
        raise BadInput("This model starts from one image or one video, and takes nothing else")
    return [
        ("input_reference", (f"{role}.{kind.rpartition('/')[2]}", path.read_bytes(), kind))
        for role, path in shot.media.items()
        for kind in [shot.types.get(role, "application/octet-stream")]
    ]


def _lost(error: ClientError) -> Exception:
    if isinstance(error, ApiError) and error.status in (404, 410):
        return Gone()
    return away(error)


def _verdict(error: object) -> Exception:
    code = str(error.get("code", "")).lower() if isinstance(error, dict) else ""
    if any(word in code for word in BLAMES_THE_INPUT):
        return BadInput(REFUSAL)
    return Broke()
