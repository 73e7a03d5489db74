"""The engine `venice`: servers that speak this very API, the hosted one or another Squero."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from squero.client import ClientError, Http
from squero.client.errors import api_error, is_settled, json_object
from squero.engines.remote.relay import Relay
from squero.engines.remote.ticket import is_id
from squero.engines.remote.upstream import (
    REFUSAL,
    Away,
    Broke,
    Gone,
    Ready,
    Upstream,
    away,
    not_taken,
)
from squero.shot import BadInput, Shot

API = "/api/v1"
TERMINAL = (400, 404, 422, 500)

Constraints = Mapping[str, Any]


class Ended(ClientError):
    """An answer that is the last word on a job."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def engine(upstreams: Sequence[Mapping[str, Any]]) -> Relay:
    """The engine over these upstreams."""
    return Relay(Venice(), upstreams)


class Venice:
    """The calls queue, retrieve and complete; what a model takes is read from the model list."""

    def __init__(self) -> None:
        self._constraints: dict[Upstream, Constraints] = {}

    async def start(self, http: Http, at: Upstream, shot: Shot, key: str) -> str:
        """The queue_id, for the same key the same."""
        try:
            request = _request(at, shot, await self._taken(http, at))
            answer = await http.request(
                "POST",
                f"{API}/video/queue",
                json=request,
                headers={"idempotency-key": key},
                retry=False,
            )
        except ClientError as error:
            self._constraints.pop(at, None)  # the list may have changed since we asked
            raise not_taken(error) from None
        queue_id = json_object(answer).get("queue_id")
        if not is_id(queue_id):
            raise Away("an answer without a queue_id")
        return str(queue_id)

    async def look(self, http: Http, at: Upstream, id: str) -> float | Ready:  # noqa: A002
        """How far it is by the upstream's own estimate."""
        try:
            answer = await http.request(
                "POST",
                f"{API}/video/retrieve",
                json={"model": at.model, "queue_id": id},
                retry=False,
                stream=True,
                refusal=_refusal,
            )
        except ClientError as error:
            raise _lost(error) from None
        if answer.headers.get("content-type", "").startswith("video/"):
            await answer.aclose()
            return Ready()
        await answer.aread()
        return _share(json_object(answer))

    async def fetch(self, http: Http, at: Upstream, id: str, target: Path) -> None:  # noqa: A002
        """The video, which goes on where it broke off."""
        try:
            await http.download(
                "POST",
                f"{API}/video/retrieve",
                target,
                json={"model": at.model, "queue_id": id},
                refusal=_refusal,
            )
        except ClientError as error:
            raise _lost(error) from None

    async def forget(self, http: Http, at: Upstream, id: str) -> None:  # noqa: A002
        """Have the media deleted; a job under way goes on, for this API has no cancel."""
        try:
            named = {"model": at.model, "queue_id": id}
            await http.request("POST", f"{API}/video/complete", json=named)
        except ClientError as error:
            raise _lost(error) from None

    async def _taken(self, http: Http, at: Upstream) -> Constraints:
        """What the upstream's model takes; asked once."""
        if at not in self._constraints:
            answer = await http.request(
                "GET", f"{API}/models", params={"type": "video"}, retry=False
            )
            self._constraints[at] = _listed(json_object(answer).get("data"), at.model)
        return self._constraints[at]


def _listed(entries: object, model: str) -> Constraints:
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {"id": str(id), "model_spec": {"constraints": dict(found)}} if id == model:
                if all(
                    _are_words(found.get(name, [])) for name in ("resolutions", "aspect_ratios")
                ):
                    return found
    raise Away("a list without the model")


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _request(at: Upstream, shot: Shot, taken: Constraints) -> dict[str, Any]:
    """The shot in the API's words; what the upstream's model does not take is left out."""
    request = {"model": at.model, "prompt": shot.prompt, "duration": f"{shot.seconds:g}s"}
    if shot.negative_prompt:
        request["negative_prompt"] = shot.negative_prompt
    if shot.resolution in taken.get("resolutions", ()):
        request["resolution"] = shot.resolution
    if ratios := taken.get("aspect_ratios"):
        request["aspect_ratio"] = _nearest(ratios, shot.width / shot.height)
    audio = {"audio": shot.audio} if taken.get("audio_configurable") else {}
    media = {f"{role}_url": _data_url(shot, role) for role in shot.media}
    return request | audio | media


def _nearest(ratios: Sequence[str], wanted: float) -> str:
    def distance(ratio: str) -> float:
        across, _, down = ratio.partition(":")
        if not (across.isdecimal() and down.isdecimal() and int(across) and int(down)):
            return math.inf
        return abs(math.log(int(across) / int(down) / wanted))

    return min(ratios, key=distance)


def _data_url(shot: Shot, role: str) -> str:
    data = base64.b64encode(shot.media[role].read_bytes()).decode()
    return f"data:{shot.types.get(role, 'application/octet-stream')};base64,{data}"


def _share(body: Mapping[str, Any]) -> float:
    if body.get("status") == "COMPLETED":
        raise Broke  # a model whose video lies at an address that only the queue call tells
    average, elapsed = body.get("average_execution_time"), body.get("execution_duration")
    if isinstance(average, int | float) and isinstance(elapsed, int | float) and average > 0:
        return min(1.0, max(0.0, elapsed / average))
    raise Away("progress that cannot be read")


def _refusal(response: httpx.Response) -> ClientError:
    if response.status_code in TERMINAL or is_settled(response):
        return Ended(response.status_code)
    return api_error(response)


def _lost(error: ClientError) -> Exception:
    match error:
        case Ended(status=422):
            return BadInput(REFUSAL)
        case Ended(status=400 | 404):
            return Gone()
        case Ended():
            return Broke()
    return away(error)
