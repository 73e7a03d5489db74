"""Reading a request's body: its size, its media, and what it says.

What is refused without reading is refused before the first byte; media goes to the spool as it
arrives, in batches and in a thread, so that an upload delays nobody else.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from squero.api.budget import Budget, Holder, Portion
from squero.api.head import names
from squero.api.house import House
from squero.api.meaning import Place, understand
from squero.api.scanner import STRUCTURE_LIMIT, Payload, Scanner, is_plain
from squero.errors import InvalidRequest, Issue, PayloadTooLarge, UnsupportedContentType
from squero.media.spool import DataUrl, Spool
from squero.wire.issues import parse
from squero.wire.video import CompleteVideoRequest, RetrieveVideoRequest

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
REPEATED = (RetrieveVideoRequest, CompleteVideoRequest)
REPEATED_BYTES = 512
"""What comes in the same words again and again, and how long it may be to be known by them."""

_UTF_8 = frozenset(("charset=utf-8", 'charset="utf-8"', "charset=utf8", 'charset="utf8"'))
_limiter: RunVar[CapacityLimiter] = RunVar("spool_threads")

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
    begun = await begin(request.receive, names(request.scope), limit_bytes)
    return await finish(begun, house, request, kind, holder, limit_bytes)


async def finish(
    begun: "Begun",
    house: House,
    request: Request,
    kind: type[Asked],
    holder: Holder,
    limit_bytes: int,
) -> Asked:
    """The same of a body that was begun."""
    if begun.short is not None and kind in REPEATED:
        known = _known(kind, begun.short)
        if known is not None:
            return cast(Asked, known)
    if begun.whole is not None and is_plain(begun.whole):
        return parse(kind, understand(begun.whole, {})[0])
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
        names(request.scope),
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
    begun = await begin(receive, headers, limit_bytes)
    if begun.whole is not None and is_plain(begun.whole):
        return _document(begun.whole, {})
    return await _read_on(begun, receive, limit_bytes, spool, Portion(budget, holder))


class Begun(NamedTuple):
    """What is known of a body once its head, or its first part, is there."""

    declared_bytes: int
    whole: bytes | None = None
    """All of it, if that came in one message of few bytes; it may hold media."""
    message: Message | None = None
    """Its first part, if it was waited for."""

    @property
    def short(self) -> bytes | None:
        """The same, if it is so short that it may be known by its bytes."""
        return self.whole if self.whole is not None and len(self.whole) <= REPEATED_BYTES else None


async def begin(receive: Receive, headers: Mapping[bytes, bytes], limit_bytes: int) -> Begun:
    """A body whose head, and if that promises little, whose first part is there.

    Raises UnsupportedContentType, PayloadTooLarge, InvalidRequest and ClientDisconnect.
    """
    declared_bytes = check_headers(headers, limit_bytes=limit_bytes)
    if declared_bytes > UNCOUNTED_BYTES:
        return Begun(declared_bytes)
    message = _part(await receive(), limit_bytes)
    return Begun(declared_bytes, None if message.get("more_body") else message["body"], message)


async def _read_on(
    begun: Begun, receive: Receive, limit_bytes: int, spool: Spool, portion: Portion
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
def _known(kind: type[BaseModel], data: bytes) -> BaseModel | None:
    """What these bytes ask for: the words of a job to be drawn are in none of these requests.

    None for those that need a scan.
    """
    return parse(kind, understand(data, {})[0]) if is_plain(data) else None


def _document(
    data: bytes | bytearray, payloads: Mapping[str, Payload], portion: Portion | None = None
) -> Document:
    return Document(*understand(data, payloads), portion)


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
