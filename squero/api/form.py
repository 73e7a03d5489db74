"""Forms: multipart/form-data as it arrives, turned into the JSON that says the same.

So what reads JSON reads forms too: under the same limits, from the same budget, and a file goes
where a `data:` URL goes, without ever being whole in memory.
"""

import codecs
import json
import logging
from binascii import b2a_base64
from collections.abc import Awaitable, Collection
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.types import Message, Receive

from squero.api.body import Document, read_document
from squero.api.budget import Holder
from squero.api.house import House
from squero.api.meaning import PATH_LIMIT_CHARACTERS
from squero.errors import InvalidRequest, Issue, PayloadTooLarge

PART_LIMIT: Final = 32
"""The most fields and files of a form."""
HEADER_LIMIT_BYTES: Final = 1024
"""The longest header of one of them."""

_FORM: Final = b"multipart/form-data"
_FILE: Final = b"data:application/octet-stream;base64,"
# The parser would tell the log what it stumbles over, which is the customer's.
_SILENT: Final = logging.Logger("form", logging.CRITICAL + 1)


def is_form(request: Request) -> bool:
    """Whether the body says that it is a form."""
    return parse_options_header(request.headers.get("content-type"))[0] == _FORM


def open_form(
    house: House, request: Request, holder: Holder, limit_bytes: int, files: Collection[str]
) -> Awaitable[Document]:
    """The form as a Document: its texts, and in the fields named by `files` maybe a DataUrl.

    Raises as `read_document`; InvalidRequest when the form is broken, names a field twice, or has a
    file elsewhere.
    """
    form = Form(_boundary(request), files)
    return read_document(
        _Bounded(request.receive, form, limit_bytes),
        dict(request.scope["headers"]) | {b"content-type": b"application/json"},
        limit_bytes=limit_bytes,
        spool=house.yard.spool,
        budget=house.budget,
        holder=holder,
    )


class Form:
    """Feed it a form's bytes, cut anywhere; each time it gives a piece of the JSON."""

    def __init__(self, boundary: bytes, files: Collection[str]) -> None:
        self._files = files
        self._names: set[str] = set()
        self._parts = 0
        self._json = bytearray(b"{")
        self._header = self._value = self._disposition = b""
        self._content: _Text | _File = _Text()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._name_header,
                    "on_header_value": self._read_header,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._pass,
                    "on_part_end": self._close,
                    "on_end": self._end,
                },
                max_header_size=HEADER_LIMIT_BYTES,
            )
        except FormParserError:
            raise _broken() from None
        self._parser.logger = _SILENT

    def feed(self, data: bytes) -> bytes:
        """The JSON of these bytes; raises InvalidRequest."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _broken() from None
        return self._taken()

    def finish(self) -> bytes:
        """The end of the JSON; raises InvalidRequest when the form has not ended."""
        if not self._ended:
            raise _broken()
        self._json += b"}"
        return self._taken()

    def _taken(self) -> bytes:
        taken = bytes(self._json)
        self._json.clear()
        return taken

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PART_LIMIT:
            raise InvalidRequest([Issue((), f"At most {PART_LIMIT} fields are allowed")])
        self._header = self._disposition = b""

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _read_header(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            if self._disposition:
                raise _broken()
            self._disposition = self._value
        self._header = self._value = b""

    def _open(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _broken()
        try:
            name = options[b"name"].decode()
        except ValueError:
            raise _broken() from None
        if name in self._names:
            raise _wrong(name, "Field was sent more than once")
        if b"filename" in options and name not in self._files:
            raise _wrong(name, "Expected string, received file")
        self._json += b"," if self._names else b""
        self._names.add(name)
        self._content = _File() if b"filename" in options else _Text()
        self._json += json.dumps(name, ensure_ascii=False).encode() + b':"' + self._content.head

    def _pass(self, data: bytes, start: int, end: int) -> None:
        self._json += self._content.piece(data[start:end])

    def _close(self) -> None:
        self._json += self._content.piece(b"", last=True) + b'"'

    def _end(self) -> None:
        self._ended = True


class _Text:
    """A field's text, as the inside of a JSON string."""

    head = b""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def piece(self, data: bytes, *, last: bool = False) -> bytes:
        try:
            text = self._decoder.decode(data, last)
        except ValueError:
            raise _broken() from None
        return json.dumps(text, ensure_ascii=False)[1:-1].encode()


class _File:
    """A file, as the inside of a `data:` URL; what it says of itself is nobody's business."""

    head = _FILE

    def __init__(self) -> None:
        self._rest = b""

    def piece(self, data: bytes, *, last: bool = False) -> bytes:
        data = self._rest + data
        end = len(data) if last else len(data) - len(data) % 3
        self._rest = data[end:]
        return b2a_base64(data[:end], newline=False)


class _Bounded:
    """ASGI's `receive` with JSON in the place of a form of at most so many bytes."""

    def __init__(self, receive: Receive, form: Form, limit_bytes: int) -> None:
        self._receive = receive
        self._form = form
        self._left_bytes = limit_bytes

    async def __call__(self) -> Message:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return message
            body, more = message.get("body", b""), message.get("more_body", False)
            self._left_bytes -= len(body)
            if self._left_bytes < 0:
                raise PayloadTooLarge
            piece = self._form.feed(body) + (b"" if more else self._form.finish())
            if piece or not more:
                return {"type": "http.request", "body": piece, "more_body": more}


def _boundary(request: Request) -> bytes:
    options = parse_options_header(request.headers.get("content-type"))[1]
    if not options.get(b"boundary"):
        raise InvalidRequest([Issue((), "Invalid form: its Content-Type has no boundary")])
    return options[b"boundary"]


def _broken() -> InvalidRequest:
    return InvalidRequest([Issue((), "Invalid form")])


def _wrong(name: str, message: str) -> InvalidRequest:
    return InvalidRequest([Issue((name[:PATH_LIMIT_CHARACTERS],), message)])
