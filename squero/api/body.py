"""Reading a request's body: its size, its media, and JSON that means only one thing.

What is refused without reading is refused before the first byte; media goes to the spool as it
arrives, in batches and in a thread, so that an upload delays nobody else.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from squero.api.budget import Budget, Holder, Portion
from squero.api.house import House
from squero.api.scanner import STRUCTURE_LIMIT, Payload, Scanner, is_plain
from squero.errors import (
    InvalidJson,
    InvalidRequest,
    Issue,
    PayloadTooLarge,
    UnsupportedContentType,
)
from squero.media.spool import DataUrl, Spool
from squero.wire.issues import parse
from squero.wire.video import CompleteVideoRequest, QuoteVideoRequest, RetrieveVideoRequest

BATCH_BYTES = 256 * 1024
"""How much base64 gathers before a thread decodes and seals it; twice as much when that is all."""
SPOOL_THREADS = 1
"""More would only take turns at the interpreter's lock, with the event loop waiting behind them."""
UNCOUNTED_BYTES = STRUCTURE_LIMIT
"""A body of so few, there whole in one message and plain, takes nothing from the budget.

It is parsed at once and what remains are a request's checked words, so all of them together are
bounded by the number of connections, each of which may keep more than this in its own buffer.
"""
SMALL_LIMIT_BYTES = 65_536
"""The largest body of a call that has no use for media."""
REPEATED = (QuoteVideoRequest, RetrieveVideoRequest, CompleteVideoRequest)
REPEATED_BYTES = 512
"""What comes in the same words again and again, and how long it may be to be known by them."""
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
_SPACE = " \t\n\r"
_UTF_8 = frozenset(("charset=utf-8", 'charset="utf-8"', "charset=utf8", 'charset="utf8"'))
_NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")
_limiter: RunVar[CapacityLimiter] = RunVar("spool_threads")

Place = tuple[str | int, ...]
Asked = TypeVar("Asked", bound=BaseModel)


class Document:
    """A body's JSON object; `async with` closes the media that came in it."""

    def __init__(
        self,
        fields: dict[str, object],
        media: dict[Place, DataUrl],
        portion: Portion | None = None,
    ) -> None:
        self.fields = fields
        """What the object holds, with a DataUrl in the place of each base64 `data:` URL."""
        self.media = media
        """The same DataUrls, by where they stand."""
        self._portion = portion

    async def aclose(self) -> None:
        """Lets go of the media, and of their part of the budget."""
        try:
            if all(url.spooled.in_memory for url in self.media.values()):
                self._close()
            else:
                await _in_thread(self._close)
        finally:
            if self._portion is not None:
                self._portion.close()

    def _close(self) -> None:
        for url in self.media.values():
            url.spooled.close()

    async def __aenter__(self) -> "Document":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def read_request(
    house: House,
    request: Request,
    kind: type[Asked],
    holder: Holder,
    limit_bytes: int = SMALL_LIMIT_BYTES,
) -> Asked:
    """The request in a body whose media, should it hold any, is of no use.

    Raises InvalidRequest, and as `read_document`.
    """
    headers = dict(request.scope["headers"])
    begun = await _begin(request.receive, headers, limit_bytes)
    if begun.is_all and kind in REPEATED and len(begun.body) <= REPEATED_BYTES:
        return cast(Asked, _known(kind, begun.body))
    if begun.is_all:
        return parse(kind, _document(begun.body, {}).fields)
    portion = Portion(house.budget, holder)
    read = await _read_on(begun, request.receive, limit_bytes, house.yard.spool, portion)
    async with read as document:
        return parse(kind, document.fields)


def open_document(
    house: House, request: Request, holder: Holder, limit_bytes: int
) -> Awaitable[Document]:
    """The request's `read_document`."""
    return read_document(
        request.receive,
        dict(request.scope["headers"]),
        limit_bytes=limit_bytes,
        spool=house.yard.spool,
        budget=house.budget,
        holder=holder,
    )


async def read_document(
    receive: Receive,
    headers: Mapping[bytes, bytes],
    *,
    limit_bytes: int,
    spool: Spool,
    budget: Budget,
    holder: Holder,
) -> Document:
    """The request's body as a Document.

    Raises UnsupportedContentType, PayloadTooLarge and AtCapacity, without reading where the headers
    tell; InvalidJson, InvalidRequest; ClientDisconnect when the client leaves before the end.
    """
    begun = await _begin(receive, headers, limit_bytes)
    if begun.is_all:
        return _document(begun.body, {})
    return await _read_on(begun, receive, limit_bytes, spool, Portion(budget, holder))


class _Begun(NamedTuple):
    """What is known of a body once its head, or its first part, is there."""

    declared_bytes: int
    message: Message | None = None
    is_all: bool = False
    """Whether the message holds all of a plain document."""

    @property
    def body(self) -> bytes:
        assert self.message is not None
        return bytes(self.message["body"])


async def _begin(receive: Receive, headers: Mapping[bytes, bytes], limit_bytes: int) -> _Begun:
    declared_bytes = check_headers(headers, limit_bytes=limit_bytes)
    if declared_bytes > UNCOUNTED_BYTES:
        return _Begun(declared_bytes)
    message = _part(await receive(), limit_bytes)
    is_all = not message.get("more_body") and is_plain(message["body"])
    return _Begun(declared_bytes, message, is_all)


async def _read_on(
    begun: _Begun, receive: Receive, limit_bytes: int, spool: Spool, portion: Portion
) -> Document:
    scanner = Scanner()
    try:
        portion.cover(begun.declared_bytes)
        message = begun.message or _part(await receive(), limit_bytes)
        declared = begun.declared_bytes
        await _scan(message, receive, scanner, limit_bytes, spool, portion, declared)
        return _document(scanner.json, scanner.payloads, portion)
    except BaseException:
        try:
            if scanner.payloads:
                await _in_thread(scanner.discard)
        finally:
            portion.close()
        raise


@lru_cache(maxsize=512)
def _known(kind: type[BaseModel], data: bytes) -> BaseModel:
    """What these bytes ask for: the words of a job to be drawn are in none of these requests."""
    return parse(kind, _document(data, {}).fields)


def _document(
    data: bytes | bytearray, payloads: Mapping[str, Payload], portion: Portion | None = None
) -> Document:
    fields = parse_object(data)
    if not payloads and not _SUSPECT.search(data):
        return Document(fields, {}, portion)
    walk = _Walk(payloads)
    walk.enter(fields)
    return Document(fields, walk.media, portion)


def check_headers(headers: Mapping[bytes, bytes], *, limit_bytes: int) -> int:
    """The declared length, 0 without one; raises UnsupportedContentType, and as `check_length`."""
    _check_form(headers.get(b"content-type", b""), headers.get(b"content-encoding", b"identity"))
    return _length(headers.get(b"content-length", b"0"), limit_bytes)


def check_length(headers: Mapping[str, str], *, limit_bytes: int) -> int:
    """The declared length, 0 without one; raises InvalidRequest, PayloadTooLarge."""
    return _length(headers.get("content-length", "0").encode("latin-1"), limit_bytes)


def _length(declared: bytes, limit_bytes: int) -> int:
    if not declared.isdigit():
        raise InvalidRequest([Issue((), "Invalid Content-Length")])
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise PayloadTooLarge
    return int(declared)


@lru_cache(maxsize=64)
def _check_form(content_type: bytes, content_encoding: bytes) -> None:
    media_type, *parameters = content_type.decode("latin-1").lower().split(";")
    charsets = [text.strip() for text in parameters if text.strip().startswith("charset")]
    if media_type.strip() != "application/json":
        raise UnsupportedContentType
    if not _UTF_8.issuperset(charsets):
        raise UnsupportedContentType("Invalid content type. The charset must be 'utf-8'")
    if content_encoding.strip().lower() != b"identity":
        raise UnsupportedContentType("Invalid content encoding. Send the body uncompressed")


def _part(message: Message, left_bytes: int) -> Message:
    """The message with a part of the body, of at most so many bytes."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if len(message.setdefault("body", b"")) > left_bytes:
        raise PayloadTooLarge
    return message


async def _scan(
    message: Message,
    receive: Receive,
    scanner: Scanner,
    limit_bytes: int,
    spool: Spool,
    portion: Portion,
    declared_bytes: int,
) -> None:
    """Feeds the scanner the body from this first message on, until it is whole.

    The portion grows by what was not declared, as it comes.
    """
    received_bytes = 0
    while True:
        received_bytes += len(message["body"])
        portion.cover(received_bytes)
        scanner.feed(message["body"])
        nearly_there = 0 <= declared_bytes - received_bytes <= BATCH_BYTES
        if scanner.waiting_bytes >= BATCH_BYTES and not nearly_there:
            await _in_thread(scanner.settle, spool)
        if not message.get("more_body"):
            break
        message = _part(await receive(), limit_bytes - received_bytes)
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
        text = data.decode("utf-8").strip(_SPACE)
        value, end = _DECODER.raw_decode(text)
    except ValueError:
        raise InvalidJson from None
    if end != len(text):
        raise InvalidJson
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
