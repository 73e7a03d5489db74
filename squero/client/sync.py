"""The same client for programs that do not await: each verb is the async one, run elsewhere."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from squero.client.backoff import Backoff
from squero.client.video import Client, Job, Progress, Video

P = ParamSpec("P")
T = TypeVar("T")


def _run(portal: BlockingPortal, verb: Callable[[], Awaitable[T]]) -> T:
    """The verb's result; when the wait is broken off (Ctrl-C), so is the verb."""
    future = portal.start_task_soon(verb)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _sync(
    verb: Callable[Concatenate[Client, P], Awaitable[T]],
) -> Callable[Concatenate["SyncClient", P], T]:
    @wraps(verb)
    def call(self: "SyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(self._portal, partial(verb, self._client, *args, **kwargs))

    return call


class SyncVideo:
    """A finished video, open for reading: save it or iterate over its bytes; close it by `with`."""

    def __init__(self, portal: BlockingPortal, video: Video) -> None:
        self._portal = portal
        self._video = video
        self.job = video.job

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _run(self._portal, partial(self._video.__aexit__, None, None, None))

    def __iter__(self) -> Iterator[bytes]:
        chunks = aiter(self._video)
        while chunk := _run(self._portal, partial(anext, chunks, b"")):
            yield chunk

    def save(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        on_bytes: Callable[[int, int | None], object] | None = None,
    ) -> Path:
        """See `Video.save`; `on_bytes` is called in another thread."""
        save = partial(self._video.save, path, overwrite=overwrite, on_bytes=on_bytes)
        return _run(self._portal, save)


class SyncClient:
    """`Client` without await, for use as a context manager; callbacks run in its one thread."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        backoff: Backoff | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = Client(base_url, api_key, backoff=backoff, transport=transport)
        self._open = ExitStack()

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._portal = opening.enter_context(start_blocking_portal())
            _run(self._portal, self._client.__aenter__)
            opening.callback(_run, self._portal, self._client.aclose)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    quote = _sync(Client.quote)
    queue = _sync(Client.queue)
    download = _sync(Client.download)
    complete = _sync(Client.complete)
    models = _sync(Client.models)
    render = _sync(Client.render)

    def retrieve(self, job: Job) -> Progress | SyncVideo:
        """See `Client.retrieve`."""
        answer = _run(self._portal, partial(self._client.retrieve, job))
        return SyncVideo(self._portal, answer) if isinstance(answer, Video) else answer

    def wait(self, job: Job, on_progress: Callable[[Progress], object] | None = None) -> SyncVideo:
        """See `Client.wait`."""
        return SyncVideo(
            self._portal, _run(self._portal, partial(self._client.wait, job, on_progress))
        )
