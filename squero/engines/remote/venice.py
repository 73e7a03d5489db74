"""The engine `venice`: servers that speak this very API, the hosted one or another Squero."""

import asyncio
import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from squero.client import ApiError, ClientError, Http
from squero.client.errors import api_error, is_settled, json_object
from squero.engines.remote import elsewhere
from squero.engines.remote.relay import Relay
from squero.engines.remote.survey import survey
from squero.engines.remote.ticket import Taken, is_id
from squero.engines.remote.upstream import (
    REFUSAL,
    REFUSED,
    Away,
    Broke,
    Gone,
    Ready,
    Upstream,
    away,
    is_there,
    not_taken,
)
from squero.money import micros_from_quote
from squero.shot import BadInput, Shot, UpstreamFailed

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
    return Seller(Venice(), upstreams)


class Seller(Relay):
    """A relay whose upstreams tell their prices."""

    _dialect: "Venice"

    def price(self, shot: Shot) -> int | None:
        """The highest price, for any upstream may get the job; None where none has one for it.

        Raises UpstreamFailed when no upstream answers.
        """
        question = partial(self._dialect.quote, shot)
        told = asyncio.run(survey(self._pool.upstreams, question))
        if not told:
            raise UpstreamFailed("No upstream tells a price")
        return max((micros for micros in told if micros is not None), default=None)


class Venice:
    """The calls queue, retrieve and complete; what a model takes is read from the model list."""

    def __init__(self) -> None:
        self._constraints: dict[Upstream, Constraints] = {}

    async def start(self, http: Http, at: Upstream, shot: Shot, key: str) -> Taken:
        """The queue_id, for the same key the same."""
        try:
            request = _request(at, shot, await self._taken(http, at))
        except ClientError as error:
            raise Away(f"no list: {away(error)}") from None
        try:
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
        body = json_object(answer)
        queue_id = body.get("queue_id")
        if not is_id(queue_id):
            raise Away("an answer without a queue_id")
        return Taken(str(queue_id), elsewhere.address(body, at))

    async def look(self, http: Http, at: Upstream, job: Taken) -> float | Ready:
        """How far it is by the upstream's own estimate."""
        try:
            answer = await http.request(
                "POST",
                f"{API}/video/retrieve",
                json={"model": at.model, "queue_id": job.id},
                retry=False,
                stream=True,
                refusal=_refusal,
            )
        except ClientError as error:
            raise _lost(error) from None
        kind = answer.headers.get("content-type", "")
        if kind.startswith("application/json"):
            body = json_object(answer)
            if body.get("status") != "COMPLETED":
                return _share(body)
            if url := elsewhere.address(body, at) or job.url:
                return Ready(url)
            raise BadInput(elsewhere.OUT_OF_REACH)  # another job would be paid for as vainly
        await answer.aclose()
        if kind.startswith("video/"):
            return Ready()
        raise Away("neither JSON nor a video")

    async def fetch(self, http: Http, at: Upstream, job: Taken, ready: Ready, target: Path) -> None:
        """The video, which goes on where it broke off."""
        if ready.url is not None:
            return await elsewhere.fetch(ready.url, target)
        try:
            await http.download(
                "POST",
                f"{API}/video/retrieve",
                target,
                json={"model": at.model, "queue_id": job.id},
                refusal=_refusal,
            )
        except ClientError as error:
            raise _lost(error) from None

    async def forget(self, http: Http, at: Upstream, job: Taken) -> None:
        """Have the media deleted; a job under way goes on, for this API has no cancel."""
        if job.url is not None:
            await elsewhere.forget(job.url)
        try:
            named = {"model": at.model, "queue_id": job.id}
            await http.request("POST", f"{API}/video/complete", json=named)
        except ClientError as error:
            raise _lost(error) from None

    async def serves(self, http: Http, at: Upstream) -> bool:
        """Whether its list has the model, and has it online; a list that is refused tells nothing.

        What the model takes may have changed, and is read anew.
        """
        self._constraints.pop(at, None)
        try:
            answer = await self._list(http)
        except ClientError as error:
            if not is_there(error):
                raise
            return True
        return any(
            entry["id"] == at.model and entry["model_spec"].get("offline") is not True
            for entry in _entries(answer)
        )

    async def quote(self, shot: Shot, http: Http, at: Upstream) -> int | None:
        """What it charges for such a shot, in micros; None for one that it does not take."""
        try:
            asked = _asked(at, shot, await self._taken(http, at))
            answer = await http.request("POST", f"{API}/video/quote", json=asked, retry=False)
        except ClientError as error:
            if isinstance(error, ApiError) and error.status in REFUSED:
                return None
            raise away(error) from None
        try:
            body = json.loads(answer.content, parse_float=Decimal)
            return micros_from_quote(body["quote"])
        except (ValueError, RecursionError, KeyError, TypeError):
            raise Away("an answer without a price") from None

    async def _list(self, http: Http) -> object:
        params = {"type": "video"}
        answer = await http.request("GET", f"{API}/models", params=params, retry=False)
        return json_object(answer).get("data")

    async def _taken(self, http: Http, at: Upstream) -> Constraints:
        """What the upstream's model takes; asked once."""
        if at not in self._constraints:
            self._constraints[at] = _listed(await self._list(http), at.model)
        return self._constraints[at]


def _entries(listed: object) -> Iterator[Mapping[str, Any]]:
    """What of a model list has the shape of an entry."""
    for entry in listed if isinstance(listed, list) else []:
        match entry:
            case {"id": str(), "model_spec": dict()}:
                yield entry


def _listed(listed: object, model: str) -> Constraints:
    for entry in _entries(listed):
        found = entry["model_spec"].get("constraints")
        if entry["id"] == model and _are_sound(found):
            return dict(found)
    raise Away("a list without the model")


def _are_sound(constraints: object) -> bool:
    """Whether the lists that are read of them are lists of words."""
    if not isinstance(constraints, dict):
        return False
    lists = [constraints.get(name, []) for name in ("resolutions", "aspect_ratios")]
    return all(isinstance(one, list) and all(isinstance(x, str) for x in one) for one in lists)


def _request(at: Upstream, shot: Shot, taken: Constraints) -> dict[str, Any]:
    """The shot in the API's words; what the upstream's model does not take is left out."""
    words = {"prompt": shot.prompt}
    if shot.negative_prompt:
        words["negative_prompt"] = shot.negative_prompt
    media = {f"{role}_url": _data_url(shot, role) for role in shot.media}
    return _asked(at, shot, taken) | words | media


def _asked(at: Upstream, shot: Shot, taken: Constraints) -> dict[str, Any]:
    """What of it makes the price."""
    asked: dict[str, Any] = {"model": at.model, "duration": f"{shot.seconds:g}s"}
    if shot.resolution in taken.get("resolutions", ()):
        asked["resolution"] = shot.resolution
    if ratios := taken.get("aspect_ratios"):
        asked["aspect_ratio"] = _nearest(ratios, shot.width / shot.height)
    return asked | ({"audio": shot.audio} if taken.get("audio_configurable") else {})


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
