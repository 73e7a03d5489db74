"""The Python client: the four video calls, the model list, and `render`, which is all of them."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import TracebackType
from typing import Any, Required, Self, TypedDict, Unpack
from uuid import uuid4

import anyio
import httpx

from squero.client.backoff import Backoff
from squero.client.errors import UnexpectedAnswer, job_error, json_object
from squero.client.http import Http

API = "/api/v1"

QUOTED = ("model", "duration", "resolution", "aspect_ratio", "audio")
"""What a price depends on: the prompt and the media stay here until there is a job."""

FIRST_POLL_SECONDS = 0.5
LONGEST_POLL_SECONDS = 5.0
POLL_GROWTH = 1.3


class VideoRequest(TypedDict, total=False):
    """What to make. Media are http(s) or data: URLs; a duration is text such as "5s"."""

    model: Required[str]
    prompt: str
    negative_prompt: str
    duration: str
    aspect_ratio: str
    resolution: str
    audio: bool
    image_url: str
    end_image_url: str
    audio_url: str
    video_url: str


@dataclass(frozen=True, slots=True)
class Job:
    """An acknowledged job; its two words are all that is needed to come back to it."""

    model: str
    queue_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in milliseconds."""

    average_ms: int
    """How long such a job usually takes."""
    elapsed_ms: int
    remaining_ms: int
    """The server's own estimate, or else what is left of the average."""
    position: int | None = None
    """The place in the queue; None once it renders, and where the server does not tell."""


class Video:
    """A finished video, open for reading: save it, or read it once; close it by `async with`."""

    def __init__(self, http: Http, job: Job, response: httpx.Response) -> None:
        self._http = http
        self._response = response
        self.job = job

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._response.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_raw():
            yield chunk

    async def save(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        on_bytes: Callable[[int, int | None], object] | None = None,
    ) -> Path:
        """Save as `path`, which appears only when whole; gives the path.

        Without `overwrite` a taken name gets a number. `on_bytes` hears the bytes so far and in
        all. Raises BrokenDownload, JobFailed, ApiError, Unreachable, and OSError for the disk.
        """
        return await self._http.download(
            "POST",
            f"{API}/video/retrieve",
            path,
            json={"model": self.job.model, "queue_id": self.job.queue_id},
            opened=self._response,
            check=_is_mp4,
            overwrite=overwrite,
            on_bytes=on_bytes,
            refusal=job_error,
        )


class Client:
    """Calls the API at `base_url`, the root of a server such as http://127.0.0.1:8800.

    Use it as an async context manager. Every call raises ApiError when the server says no and
    Unreachable when it says nothing, after the tries that `backoff` allows.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        backoff: Backoff | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._http = Http(base_url, api_key, backoff=self._backoff, transport=transport)

    def __repr__(self) -> str:
        return f"Client({str(self._http.base_url)!r})"

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def quote(self, **request: Unpack[VideoRequest]) -> Decimal:
        """The price of a request in USD; needs no key and sends neither prompt nor media."""
        priced = {name: value for name, value in request.items() if name in QUOTED}
        answer = await self._http.request("POST", f"{API}/video/quote", json=priced)
        try:
            price = Decimal(json.loads(answer.content, parse_float=Decimal)["quote"])
        except (ValueError, KeyError, TypeError, InvalidOperation):
            price = Decimal("NaN")
        if not (price.is_finite() and price >= 0):
            raise UnexpectedAnswer("the server's quote has no price in it")
        return price

    async def queue(self, request: VideoRequest, idempotency_key: str | None = None) -> Job:
        """Give the job to the server, which charges for it.

        A lost connection or a busy server is tried again under one idempotency key, so there is
        at most one job; give a key of your own to go on after a restart of your program.
        """
        answer = await self._http.request(
            "POST",
            f"{API}/video/queue",
            json=dict(request),
            headers={"idempotency-key": idempotency_key or uuid4().hex},
        )
        body = json_object(answer)
        model, queue_id = body.get("model"), body.get("queue_id")
        if not (isinstance(model, str) and isinstance(queue_id, str)):
            raise UnexpectedAnswer("the server took the job but did not name it")
        return Job(model, queue_id)

    async def retrieve(self, job: Job) -> Progress | Video:
        """How far the job is, or its video, open. Raises JobFailed when there will be none."""
        answer = await self._http.request(
            "POST",
            f"{API}/video/retrieve",
            json={"model": job.model, "queue_id": job.queue_id},
            headers={"accept-encoding": "identity"},
            stream=True,
            refusal=job_error,
        )
        kind = _kind(answer)
        if kind == "video/mp4":
            return Video(self._http, job, answer)
        await answer.aclose()
        if kind == "application/json":
            return _progress(answer)
        raise UnexpectedAnswer(f"the server sent {kind or 'something unnamed'}, not a video")

    async def wait(
        self, job: Job, on_progress: Callable[[Progress], object] | None = None
    ) -> Video:
        """Ask until the video is there; gives it open. Raises like `retrieve`."""
        pause = FIRST_POLL_SECONDS
        while not isinstance(answer := await self.retrieve(job), Video):
            if on_progress:
                on_progress(answer)
            expected = max(answer.remaining_ms / 1000, FIRST_POLL_SECONDS)
            await self._backoff.sleep(min(pause, expected))
            pause = min(pause * POLL_GROWTH, LONGEST_POLL_SECONDS)
        return answer

    async def download(
        self,
        job: Job,
        path: Path,
        *,
        overwrite: bool = True,
        on_progress: Callable[[Progress], object] | None = None,
        on_bytes: Callable[[int, int | None], object] | None = None,
    ) -> Path:
        """Wait for the job's video and save it as `Video.save` does; gives the path."""
        async with await self.wait(job, on_progress) as video:
            return await video.save(path, overwrite=overwrite, on_bytes=on_bytes)

    async def complete(self, job: Job) -> bool:
        """Have the server delete its copy of the video; whether it did."""
        answer = await self._http.request(
            "POST",
            f"{API}/video/complete",
            json={"model": job.model, "queue_id": job.queue_id},
        )
        return json_object(answer).get("success") is True

    async def models(self, type: str = "video") -> list[dict[str, Any]]:  # noqa: A002
        """The entries of the model list, as the API has them."""
        answer = await self._http.request("GET", f"{API}/models", params={"type": type})
        entries = json_object(answer).get("data")
        if not isinstance(entries, list):
            raise UnexpectedAnswer("the server's list of models is none")
        return entries

    async def render(
        self,
        request: VideoRequest,
        path: Path,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Path:
        """Queue, wait, and save the video as `path`: the whole way. The server keeps its copy."""
        return await self.download(await self.queue(request), path, on_progress=on_progress)


def _is_mp4(head: bytes) -> bool:
    return head[4:8] == b"ftyp"


def _kind(answer: httpx.Response) -> str:
    kind: str = answer.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def _progress(answer: httpx.Response) -> Progress:
    body = json_object(answer)
    try:
        if body["status"] != "PROCESSING":
            raise UnexpectedAnswer("the server finished the job but does not send the video here")
        average, elapsed = int(body["average_execution_time"]), int(body["execution_duration"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnexpectedAnswer("the server's progress cannot be read") from None
    remaining = _whole(answer.headers.get("x-squero-remaining-ms"))
    return Progress(
        average_ms=average,
        elapsed_ms=elapsed,
        remaining_ms=max(0, average - elapsed) if remaining is None else remaining,
        position=_whole(answer.headers.get("x-squero-position")),
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 16 else None
