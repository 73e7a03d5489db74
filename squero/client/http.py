"""One server, one token: calls that are tried again, files that arrive whole or not at all.

The core of the Python client and of a worker's calls.
"""

import ipaddress
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from json import dumps
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import anyio
import httpx

from squero.client.backoff import TRANSIENT, Backoff
from squero.client.download import Check, Download
from squero.client.errors import (
    ClientError,
    UnexpectedAnswer,
    Unreachable,
    api_error,
    is_settled,
)

LOST = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
)
"""The server may or may not have seen the call."""

CHUNK_BYTES = 256 * 1024
FRAMING = ("content-length", "transfer-encoding")

Refusal = Callable[[httpx.Response], ClientError]


class Http:
    """Calls to `base_url` with a bearer token; used as an async context manager.

    Raises ValueError for an address or a token that cannot be used. Follows no redirects. A proxy
    that the environment names is used, but never for a server on this machine. `answer_bytes` is
    for a server that is not trusted: the most that an answer may have that is read whole, all of it
    within `silence_seconds`; one that has more raises UnexpectedAnswer.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        backoff: Backoff | None = None,
        connect_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        answer_bytes: int | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = _checked_url(base_url)
        self._backoff = backoff or Backoff()
        self._timeout = httpx.Timeout(silence_seconds, connect=connect_seconds)
        self._answer_bytes = answer_bytes
        self.heard: Mapping[str, str] = {}
        """The headers of the last answer."""
        if transport is None and _is_loopback(self.base_url.host):
            # Given a transport, httpx looks for no proxy.
            transport = httpx.AsyncHTTPTransport(verify=self.base_url.scheme == "https")
        self._client = httpx.AsyncClient(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {_checked_token(token)}"} if token else {},
            timeout=self._timeout,
            transport=transport,
            verify=True if transport else _tls(),
        )

    def __repr__(self) -> str:
        return f"Http({str(self.base_url)!r})"

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
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
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | Path | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        retry: bool = True,
        stream: bool = False,
        silence_seconds: float | None = None,
        refusal: Refusal = api_error,
    ) -> httpx.Response:
        """The successful answer, read; with `stream`, one that is no JSON is open, to be closed.

        A Path as content is streamed and opened anew for every try. `silence_seconds` is how long
        the server may say nothing (a long poll needs more than its length). Raises what `refusal`
        makes of an answer that is no success, and Unreachable. With `retry`, 429, 500, 502, 503,
        504 and lost connections are tried again, unless the answer settles the job's money.
        """
        if json is not None:
            content = dumps(json, allow_nan=False).encode()
            headers = {"content-type": "application/json", **(headers or {})}
        timeout = self._timeout if silence_seconds is None else self._patient(silence_seconds)
        waits = self._backoff.start()
        while True:
            told: float | None = None
            failure: ClientError
            try:
                async with _body(content) as (payload, sized):
                    request = self._client.build_request(
                        method,
                        path,
                        content=payload,
                        params=params,
                        headers={**sized, **(headers or {})},
                        timeout=timeout,
                    )
                    response = await self._send(request, stream)
            except LOST as lost:
                failure = self._unreachable(lost)
            else:
                self.heard = response.headers
                if response.is_success:
                    return response
                failure = refusal(response)
                retry = retry and response.status_code in TRANSIENT and not is_settled(response)
                told = self._backoff.told_seconds(response)
            if not (retry and await waits.another(told)):
                raise failure

    async def download(
        self,
        method: str,
        path: str,
        target: Path,
        *,
        json: Any = None,
        opened: httpx.Response | None = None,
        check: Check | None = None,
        overwrite: bool = True,
        on_bytes: Callable[[int, int | None], object] | None = None,
        refusal: Refusal = api_error,
    ) -> Path:
        """Save what the call gives as `target`, which appears only when whole; gives its path.

        A broken download goes on where it broke when the server named the bytes by an ETag, and
        from the start otherwise. `opened` is a streamed answer to begin with. `check` looks at the
        first bytes. Without `overwrite` a taken name gets a number. `on_bytes` hears the bytes so
        far and in all. Raises like `request`, and BrokenDownload; OSError for the disk.
        """

        async def ask(headers: Mapping[str, str]) -> httpx.Response:
            return await self.request(
                method,
                path,
                json=json,
                headers={"accept-encoding": "identity", **headers},
                stream=True,
                refusal=refusal,
            )

        download = Download(ask, LOST, self._backoff.start(), check, on_bytes)
        return await download.save(target, opened, overwrite)

    async def _send(self, request: httpx.Request, stream: bool) -> httpx.Response:
        if self._answer_bytes is not None:
            # What unfolds while it is read has no size that could be told beforehand.
            request.headers["accept-encoding"] = "identity"
        response = await self._client.send(request, stream=True)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        if is_json or not (stream and response.is_success):
            try:
                if self._answer_bytes is not None:
                    return await self._read(response, self._answer_bytes)
                await response.aread()
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        return response

    async def _read(self, response: httpx.Response, most_bytes: int) -> httpx.Response:
        """The same answer, read, if it has no more than so many bytes and comes in time."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UnexpectedAnswer("the server encoded its answer although it was asked not to")
        body = bytearray()
        try:
            with anyio.fail_after(self._timeout.read):
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > most_bytes:
                        raise UnexpectedAnswer(f"an answer of more than {most_bytes} bytes")
        except TimeoutError:
            raise httpx.ReadTimeout("an answer without end", request=response.request) from None
        headers = [one for one in response.headers.multi_items() if one[0] not in FRAMING]
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(body), request=response.request
        )

    def _unreachable(self, lost: Exception) -> Unreachable:
        failure = Unreachable(f"no answer from {self.base_url} ({type(lost).__name__})")
        failure.__cause__ = lost
        return failure

    def _patient(self, silence_seconds: float) -> httpx.Timeout:
        return httpx.Timeout(silence_seconds, connect=self._timeout.connect)


@asynccontextmanager
async def _body(
    content: bytes | Path | None,
) -> AsyncIterator[tuple[bytes | AsyncIterator[bytes] | None, dict[str, str]]]:
    """What to send, and the headers that go with it; a file is open inside the block."""
    if not isinstance(content, Path):
        yield content, {}
        return
    # Opened and closed here and not in threads: a task that is cancelled meanwhile would lose it.
    with content.open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        yield _chunks(anyio.wrap_file(raw)), {"content-length": str(size)}


async def _chunks(file: anyio.AsyncFile[bytes]) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


@cache
def _tls() -> SSLContext:
    """What certificates are held against; loading them takes 50 ms."""
    return httpx.create_ssl_context()


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.strip().rstrip("/").removesuffix("/api/v1"))
    except httpx.InvalidURL:
        raise ValueError("the server's address is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the server's address must begin with http:// or https://")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the server's address must be a plain one, such as https://example.com")
    return url


def _checked_token(token: str) -> str:
    # httpx would quote the whole header in its complaint.
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("the key holds a character that a key cannot have")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
