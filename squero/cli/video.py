"""The body of `squero video`: one prompt in, one MP4 on disk, and plain words on the way."""

import asyncio
import base64
import os
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import anyio
from rich.console import Console

from squero.cli.screen import Screen, dollars, megabytes, open_screen
from squero.client import (
    ApiError,
    Backoff,
    Client,
    ClientError,
    Job,
    JobFailed,
    Unreachable,
    Video,
    VideoRequest,
)
from squero.errors import Issue

DEFAULT_SERVER = "http://127.0.0.1:8800"
DEFAULT_DURATION = "5s"

FAILURE, USAGE, INTERRUPTED = 1, 2, 130

FIRST_CALL = Backoff(tries=3, total_seconds=5.0)
"""A server that is not there should be noticed at once; one that goes away later may come back."""

IMAGE_MAGIC = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
)


class Usage(Exception):
    """The command as given cannot be carried out; its text says what to do."""


@dataclass
class Errand:
    """One run of the command; `job` is known once the server has taken it."""

    server: str
    key: str
    output: Path | None
    keep: bool
    asked: bool = False
    job: Job | None = None
    saved: bool = False

    async def make(self, request: VideoRequest, screen: Screen) -> None:
        """Ask for the price, queue, and fetch the video."""
        async with Client(self.server, self.key, backoff=FIRST_CALL) as client:
            price = await client.quote(**request)
        screen.say(f"Price: {dollars(price)}")
        async with Client(self.server, self.key) as client:
            self.asked = True
            self.job = await client.queue(request)
            screen.say(f"Queued as {self.job.queue_id}")
            await self._fetch(client, self.job, screen)

    async def resume(self, job: Job, screen: Screen) -> None:
        """Fetch the video of a job that an earlier run has queued."""
        self.asked, self.job = True, job
        async with Client(self.server, self.key) as client:
            await self._fetch(client, job, screen)

    async def _fetch(self, client: Client, job: Job, screen: Screen) -> None:
        async with await client.wait(job, screen.progress) as video:
            await self._save(video, screen)
        if self.keep:
            screen.say("The server keeps its copy until its retention ends")
            return
        try:
            deleted = await client.complete(job)
        except ClientError:
            deleted = False
        kept = "The server did not delete its copy; it goes when its retention ends"
        screen.say("Deleted the server's copy" if deleted else kept)

    async def _save(self, video: Video, screen: Screen) -> None:
        target = self.output or Path(_default_name(video.job.model))
        named = self.output is not None
        replaced = named and await anyio.Path(target).exists()
        path = await video.save(target, overwrite=named, on_bytes=screen.received)
        self.saved = True
        size = megabytes((await anyio.Path(path).stat()).st_size)
        note = ", in place of the file that was there" if replaced else ""
        screen.say(f"Saved {path} ({size}{note})")


def run(
    prompt: str | None,
    image: str | None = None,
    model: str | None = None,
    duration: str | None = None,
    resolution: str | None = None,
    aspect_ratio: str | None = None,
    output: Path | None = None,
    server: str | None = None,
    *,
    keep: bool = False,
    resume: str | None = None,
) -> None:
    """Make a video and save it; `resume` fetches the job of that queue_id instead.

    Without `output` the name is made of the model and the time, and no file is ever replaced.
    Raises SystemExit: 1 for a failure, 2 for a command that cannot be carried out, 130 on Ctrl-C.
    """
    address = server or os.environ.get("SQUERO_SERVER") or DEFAULT_SERVER
    errand: Errand | None = None
    try:
        errand = _errand(address, output, keep)
        model = model or ("motion-image-to-video" if image else "motion-text-to-video")
        if resume:
            work = partial(errand.resume, Job(model, resume))
        else:
            request = _request(prompt, image, model, duration, resolution, aspect_ratio)
            work = partial(errand.make, request)
        with open_screen() as screen:
            asyncio.run(work(screen))
    except Usage as wrong:
        _stop(USAGE, [str(wrong)])
    except KeyboardInterrupt:
        _stop(INTERRUPTED, ["Stopped.", *_way_back(errand)])
    except (ClientError, OSError) as failure:
        final = isinstance(failure, JobFailed)
        back = [] if final else _way_back(errand, refused=isinstance(failure, ApiError))
        _stop(FAILURE, [*_explain(failure, address), *back])


def _errand(address: str, output: Path | None, keep: bool) -> Errand:
    """The errand, all that can be known to be wrong being right."""
    key = os.environ.get("SQUERO_API_KEY", "").strip()
    if not key:
        raise Usage("No API key: set SQUERO_API_KEY, make one with `squero keys create`.")
    try:
        Client(address, key)
    except ValueError as wrong:
        raise Usage(f"{address}: {wrong}.") from None
    if output and output.is_dir():
        raise Usage(f"{output} is a folder; name a file in it with -o.")
    folder = output.parent if output else Path()
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise Usage(f"Cannot write to the folder {folder.absolute()}; choose another with -o.")
    return Errand(address, key, output, keep)


def _request(
    prompt: str | None,
    image: str | None,
    model: str,
    duration: str | None,
    resolution: str | None,
    aspect_ratio: str | None,
) -> VideoRequest:
    """What to send; what is not given is left to the server, whose models differ."""
    if not (prompt and prompt.strip()):
        raise Usage('Say what to make: squero video "a gondola at dawn"')
    request = VideoRequest(model=model, prompt=prompt, duration=duration or DEFAULT_DURATION)
    if resolution:
        request["resolution"] = resolution
    if aspect_ratio:
        request["aspect_ratio"] = aspect_ratio
    if image:
        request["image_url"] = image if "://" in image else _data_url(Path(image))
    return request


def _data_url(image: Path) -> str:
    """The file as a data: URL of the type that it is, whatever its name says."""
    try:
        data = image.read_bytes()
    except OSError as error:
        raise Usage(f"Cannot read {image}: {error.strerror or error}.") from None
    for kind, magic in IMAGE_MAGIC:
        if magic.match(data):
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
    raise Usage(f"{image} is not an image that can be sent; give a PNG, a JPEG or a WebP.")


def _default_name(model: str) -> str:
    plain = re.sub(r"[^\w.-]+", "-", model).strip(".-")
    return f"{plain}-{datetime.now().astimezone():%Y%m%d-%H%M%S}.mp4"


def _way_back(errand: Errand | None, refused: bool = False) -> list[str]:
    """How to get the video of a job that goes on without us."""
    if not errand or errand.saved or not errand.asked:
        return []
    if not (job := errand.job):
        return [] if refused else ["The server may have taken the job all the same."]
    command = ["squero", "video", "--resume", job.queue_id, "--model", job.model]
    if errand.output:
        command += ["-o", str(errand.output)]
    return ["The job goes on at the server. To fetch its video later:", f"  {shlex.join(command)}"]


def _explain(failure: Exception, address: str) -> list[str]:
    """What went wrong, and what to do about it."""
    match failure:
        case Unreachable():
            return [f"No answer from the server: is `squero serve` running at {address}?"]
        case ApiError(status=401):
            advice = "set SQUERO_API_KEY, make one with `squero keys create`."
            return [f"The server does not accept this API key: {advice}"]
        case ApiError(status=402):
            return [f"{failure.message}.", "An operator can add to it: see `squero credit --help`."]
        case ApiError(status=404):
            return [f"{failure.message}.", "`squero models` lists what there is."]
        case ApiError(status=429):
            return [f"{failure.message}.", "Wait a minute and try again."]
        case ApiError():
            return [f"{failure.message} (status {failure.status})", *map(_issue, failure.issues)]
        case JobFailed(refunded=True):
            return [f"The job failed: {failure}", "The charge was refunded."]
        case JobFailed():
            return [f"The job failed: {failure}"]
        case OSError():
            return [f"Cannot save the video: {failure.strerror or failure}"]
    return [f"The video did not come: {failure}"]


def _issue(issue: Issue) -> str:
    place = ".".join(map(str, issue.path))
    return f"  {place}: {issue.message}" if place else f"  {issue.message}"


def _stop(code: int, lines: list[str]) -> NoReturn:
    console = Console(stderr=True)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)
