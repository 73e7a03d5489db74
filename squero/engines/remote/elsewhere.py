"""A video that lies at an address of its own, as some models of the Venice API have it.

The upstream tells the address once, with the job. It is asked without a key, for it may be
anybody's; and whoever has it has the video, so it stands in no message.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from squero.client import ApiError, Backoff, ClientError, Http
from squero.client.backoff import TRANSIENT
from squero.engines.remote import upstream
from squero.engines.remote.upstream import Upstream, away
from squero.shot import BadInput

LONGEST = 2048
ONCE = Backoff(tries=1)
OUT_OF_REACH = "The server that renders this model did not hand out the video that it made"
"""The end of a job that was paid for: another one would end there too."""


def address(body: Mapping[str, object], at: Upstream) -> str | None:
    """The `download_url` of an answer, if it may be asked: https, or the upstream's own origin."""
    told = body.get("download_url")
    if not (isinstance(told, str) and told.isascii() and told.isprintable()):
        return None
    try:
        url, own = httpx.URL(told), httpx.URL(at.url)
    except httpx.InvalidURL:
        return None
    if len(told) > LONGEST or not url.host or url.userinfo or url.fragment:
        return None
    return told if url.scheme == "https" or _origin(url) == _origin(own) else None


async def fetch(url: str, target: Path) -> None:
    """Save what is there; raises Away while it is not, and BadInput when it never will be."""
    async with _http(url, upstream.PATIENCE) as http:
        try:
            await http.download("GET", url, target)
        except ClientError as error:
            if isinstance(error, ApiError) and error.status not in TRANSIENT:
                raise BadInput(OUT_OF_REACH) from None
            raise away(error) from None


async def forget(url: str) -> None:
    """Have the address revoked, if it answers."""
    with suppress(ClientError):
        async with _http(url, ONCE) as http:
            await http.request("DELETE", url)


def _http(url: str, backoff: Backoff) -> Http:
    return Http(
        _origin(httpx.URL(url)),
        backoff=backoff,
        silence_seconds=upstream.SILENCE,
        answer_bytes=upstream.ANSWER_BYTES,
    )


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
