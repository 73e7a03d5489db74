"""Reading a request's body: its size, its media, and JSON that means only one thing.

What is refused without reading is refused before the first byte; media goes to the spool as it
arrives, in batches and in a thread, so that an upload delays nobody else.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from squero.api.scanner import Payload, Scanner, is_plain
from squero.errors import (
    InvalidJson,
    InvalidRequest,
    Issue,
    PayloadTooLarge,
    UnsupportedContentType,
)
from squero.media.spool import DataUrl, Spool

BATCH_BYTES = 256 * 1024
"""How much base64 gathers before a thread decodes and seals it."""
SPOOL_THREADS = 1
"""More would only take turns at the interpreter's lock, with the event loop waiting behind them."""
NUMBER_LIMIT_DIGITS = 100
PATH_LIMIT_CHARACTERS = 80
"""Longer paths are the client's own words, which do not belong in an answer."""

_TYPE_NAMES: dict[type, str] = {
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")
_limiter: RunVar[CapacityLimiter] = RunVar("spool_threads")

Place = tuple[str | int, ...]


class Document:
    """A body's JSON object; `async with` closes the media that came in it."""

    def __init__(self, fields: dict[str, object], media: dict[Place, DataUrl]) -> None:
        self.fields = fields
        """What the object holds, with a DataUrl in the place of each base64 `data:` URL."""
        self.media = media
        """The same DataUrls, by where they stand."""

    async def aclose(self) -> None:
        """Lets go of the media."""
        if self.media:
            await _in_thread(self._close)

    def _close(self) -> None:
        for url in self.media.values():
            url.spooled.close()

    async def __aenter__(self) -> "Document":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def read_document(
    receive: Receive, headers: Mapping[str, str], *, limit_bytes: int, spool: Spool
) -> Document:
    """The request's body as a Document.

    Raises UnsupportedContentType and PayloadTooLarge, without reading where the headers tell;
    InvalidJson, InvalidRequest; ClientDisconnect when the client leaves before the end.
    """
    check_headers(headers, limit_bytes=limit_bytes)
    message = await _receive(receive, limit_bytes)
    if not message.get("more_body") and is_plain(message["body"]):
        return Document(_fields(message["body"], _Walk({})), {})
    scanner = Scanner()
    try:
        await _scan(message, receive, scanner, limit_bytes, spool)
        walk = _Walk(scanner.payloads)
        return Document(_fields(scanner.json, walk), walk.media)
    except BaseException:
        if scanner.payloads:
            await _in_thread(scanner.discard)
        raise


def _fields(data: bytes | bytearray, walk: "_Walk") -> dict[str, object]:
    fields = parse_object(data)
    if walk.expects_media or _SUSPECT.search(data):
        walk.enter(fields)
    return fields


def check_headers(headers: Mapping[str, str], *, limit_bytes: int) -> None:
    """Raises what the headers alone give reason to: UnsupportedContentType, PayloadTooLarge."""
    _check_type(headers.get("content-type", ""))
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedContentType("Invalid content encoding. Send the body uncompressed")
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise InvalidRequest([Issue((), "Invalid Content-Length")])
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise PayloadTooLarge


@lru_cache(maxsize=64)
def _check_type(content_type: str) -> None:
    media_type, *parameters = content_type.lower().split(";")
    charsets = [text.strip() for text in parameters if text.strip().startswith("charset")]
    if media_type.strip() != "application/json":
        raise UnsupportedContentType
    if not {"charset=utf-8", 'charset="utf-8"'}.issuperset(charsets):
        raise UnsupportedContentType("Invalid content type. The charset must be 'utf-8'")


async def _receive(receive: Receive, left_bytes: int) -> Message:
    """The next message with a part of the body, of at most so many bytes."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if len(message.setdefault("body", b"")) > left_bytes:
        raise PayloadTooLarge
    return message


async def _scan(
    message: Message, receive: Receive, scanner: Scanner, left_bytes: int, spool: Spool
) -> None:
    """Feeds the scanner the body from this first message on, until it is whole."""
    while True:
        left_bytes -= len(message["body"])
        scanner.feed(message["body"])
        if scanner.waiting_bytes >= BATCH_BYTES:
            await _in_thread(scanner.settle, spool)
        if not message.get("more_body"):
            break
        message = await _receive(receive, left_bytes)
    scanner.finish()
    if scanner.payloads:
        await _in_thread(scanner.settle, spool)


async def _in_thread(call: Callable[..., None], *arguments: object) -> None:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(SPOOL_THREADS)
        _limiter.set(limiter)
    with anyio.CancelScope(shield=True):
        await to_thread.run_sync(call, *arguments, limiter=limiter)


def parse_object(data: bytes | bytearray) -> dict[str, Any]:
    """The JSON object that the UTF-8 bytes spell; raises InvalidJson and InvalidRequest.

    Duplicate keys, NaN, infinities and numbers beyond all use are refused. Depth is the scanner's.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except ValueError:
        raise InvalidJson from None
    if not isinstance(value, dict):
        received = _TYPE_NAMES[type(value)]
        message = f"Expected object, received {received}"
        raise InvalidRequest([Issue((), message, "invalid_type", "object", received)])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidJson
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJson
    return value


def _int(text: str) -> int:
    if len(text) > NUMBER_LIMIT_DIGITS:
        raise InvalidJson
    return int(text)


def _constant(_: str) -> NoReturn:
    raise InvalidJson


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
)


class _Walk:
    """One way through a parsed document: puts the media in, and refuses what no text may hold."""

    def __init__(self, payloads: Mapping[str, Payload]) -> None:
        self.media: dict[Place, DataUrl] = {}
        self._payloads = payloads

    @property
    def expects_media(self) -> bool:
        """Whether there are any to put in."""
        return bool(self._payloads)

    def enter(self, container: Any, path: Place = ()) -> None:
        """Walks all of an object or array; raises InvalidRequest at the first thing wrong."""
        entries = enumerate(container) if isinstance(container, list) else container.items()
        for key, value in entries:
            if isinstance(key, str):
                _check_text(key, path)
            if isinstance(value, str):
                container[key] = self._text(value, (*path, key))
            elif isinstance(value, list | dict):
                self.enter(value, (*path, key))

    def _text(self, text: str, path: Place) -> str | DataUrl:
        if text not in self._payloads:
            _check_text(text, path)
            return text
        url = self._payloads[text].url()
        if url is None:
            raise _invalid(path, "Invalid data URL")
        self.media[path] = url
        return url


def _check_text(text: str, path: Place) -> None:
    if _NO_TEXT.search(text):
        raise _invalid(path, "Text must be valid Unicode without NUL")


def _invalid(path: Place, message: str) -> InvalidRequest:
    spelled = "".join(str(part) for part in path)
    short = len(spelled) <= PATH_LIMIT_CHARACTERS and spelled.isprintable()
    return InvalidRequest([Issue(path if short else (), message)])
