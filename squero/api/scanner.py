"""The scanner: a JSON document as it arrives, parted into JSON proper and the media inside it.

The base64 of a `data:` URL never becomes part of the JSON: it goes to the spool, and a token that
no client can guess stands in its place. What the scanner lets through is JSON to the last byte;
whether it is good JSON is for the parser to say.
"""

import json
import re
import secrets
from collections.abc import Callable
from threading import Lock

from squero.api import base64
from squero.errors import InvalidJson, InvalidRequest, Issue, PayloadTooLarge
from squero.media.spool import DataUrl, Spool, Spooled, SpoolWriter

JSON_LIMIT_BYTES = 256 * 1024
"""The most JSON that a body may hold beside its media."""
STRUCTURE_LIMIT = 8192
"""The most brackets, commas and colons in it."""
DEPTH_LIMIT = 32
DATA_URL_LIMIT = 16
HEAD_LIMIT_BYTES = 256
"""The longest beginning of a string that can turn out to be a data URL's."""
PIECE_BYTES = 256 * 1024
"""How much base64 is decoded at a time; a multiple of 4."""
ESCAPE_BYTES = 6

_DATA = rb"(?i:d|\\u00[46]4)(?i:a|\\u00[46]1)(?i:t|\\u00[57]4)(?i:a|\\u00[46]1)(?::|\\u003[aA])"
_MEDIA = re.compile(rb'"' + _DATA)
# No group here is possessive, only single classes are: before 3.11.5 Python matches such a group
# wrongly (gh-106052). Nothing can backtrack far, for what a group begins with ends its class.
_PLAIN = re.compile(
    rb'[^"]*+(?:"(?!' + _DATA + rb')[^"\\]*+(?:\\.[^"\\]*+)*"[^"]*+)*',
    re.DOTALL,
)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"', re.DOTALL)
_CONTENT = re.compile(rb'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*', re.DOTALL)
_HEAD = re.compile(rb'[^"\\,]*+(?:\\(?:u(?!002[cC])[0-9a-fA-F]{4}|[^u])[^"\\,]*+)*', re.DOTALL)
_BASE64_HEAD = re.compile(r"data:([!-~]*);base64", re.IGNORECASE)
_COMMA = re.compile(rb",|\\u002[cC]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"{}[],:"))
_QUOTE = ord('"')
_OPENERS = {ord("]"): ord("["), ord("}"): ord("{")}


def is_plain(document: bytes) -> bool:
    """Whether a whole document is so small and shallow, and without media, that it needs no scan.

    Nearly all are. What has no more bytes than marks are allowed has no more marks either.
    """
    return (
        len(document) <= STRUCTURE_LIMIT
        and document.count(b"{") + document.count(b"[") <= DEPTH_LIMIT
        and b'"data:' not in document.lower()
        and not (b"\\" in document and _MEDIA.search(document))
    )


class Payload:
    """The base64 of one data URL: taken in as it arrives, decoded into the spool in batches."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self.closed = False
        """Whether all of it has arrived."""
        self.spooled: Spooled | None = None
        """The media, once it is closed and settled and was good base64."""
        self.waiting = bytearray()
        self._tail = b""
        self._padded = False
        self._unreadable = False
        self._writer: SpoolWriter | None = None

    def url(self) -> DataUrl | None:
        """The media; None when it was not good base64."""
        return None if self.spooled is None else DataUrl(self.media_type, self.spooled)

    def settle(self, spool: Spool) -> None:
        """Decodes and spools what waits: blocks, so it belongs in a thread."""
        text = bytes(self.waiting)
        self.waiting.clear()
        if self._unreadable:
            return
        self._writer = self._writer or spool.open(len(text) if self.closed else None)
        try:
            self._decode(self._tail + _unescape(text), self._writer)
        except ValueError:
            self._unreadable = True
            self._writer.discard()
            return
        if self.closed:
            self.spooled = self._writer.finish()

    def discard(self) -> None:
        """Lets go of whatever was spooled."""
        if self._writer is not None:
            self._writer.discard()
        if self.spooled is not None:
            self.spooled.close()

    def _decode(self, text: bytes, writer: SpoolWriter) -> None:
        end = len(text) if self.closed else len(text) - len(text) % 4
        self._tail = text[end:]
        for start in range(0, end, PIECE_BYTES):
            piece = text[start : min(start + PIECE_BYTES, end)]
            if self._padded:
                raise ValueError("base64 goes on after its padding")
            writer.write(base64.decoded(piece))
            self._padded = piece.endswith(b"=")


class Scanner:
    """Feed it a document's bytes, cut anywhere; then read `json` and `payloads`."""

    def __init__(self) -> None:
        self.json = bytearray()
        """The document, with a token in the place of each data URL."""
        self.payloads: dict[str, Payload] = {}
        """Token to the data URL whose place it holds."""
        self._spooling = Lock()
        self._discarded = False
        self._secret = secrets.token_hex(16)
        # Not bound to this one: it would hold itself, and its media, until it is collected.
        self._state: Callable[[Scanner, bytes, int], int] = Scanner._text
        self._held = b""
        self._open = bytearray()
        self._structures = 0
        self._before = 0
        self._current: Payload | None = None

    @property
    def waiting_bytes(self) -> int:
        """How much base64 has arrived that is not settled yet."""
        return sum(len(payload.waiting) for payload in self.payloads.values())

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes; raises a Refused as soon as the document cannot be accepted."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        position = 0
        while position < len(data) and not self._held:
            position = self._state(self, data, position)

    def finish(self) -> None:
        """Ends the document; raises InvalidJson when it ends inside a data URL."""
        if self._current is not None:
            raise InvalidJson
        self._pass(self._held)

    def settle(self, spool: Spool) -> None:
        """Decodes and spools what waits: blocks, so it belongs in a thread."""
        with self._spooling:
            for payload in () if self._discarded else self.payloads.values():
                if payload.waiting or (payload.closed and payload.spooled is None):
                    payload.settle(spool)

    def discard(self) -> None:
        """Lets go of whatever was spooled, once a thread that still settles has ended."""
        with self._spooling:
            self._discarded = True
            for payload in self.payloads.values():
                payload.discard()

    def _text(self, data: bytes, start: int) -> int:
        match = _PLAIN.match(data, start)
        assert match is not None
        if match.end() > start:
            self._pass(match[0])
            self._follow(_STRING.sub(b"", match[0]).translate(None, _NOT_STRUCTURE))
        if match.end() < len(data):
            self._state = Scanner._head
        return match.end()

    def _head(self, data: bytes, start: int) -> int:
        """Decides what a string is that may be a data URL, once enough of it is there."""
        if self._before == _QUOTE:
            raise InvalidJson
        match = _HEAD.match(data, start + 1, start + HEAD_LIMIT_BYTES)
        assert match is not None
        comma = _COMMA.match(data, match.end())
        if comma is not None:
            return self._begin(data, start, match[0], comma.end())
        if data[match.end() : match.end() + 1] != b'"' and len(data) - start < HEAD_LIMIT_BYTES:
            self._held = data[start:]
            return len(data)
        return self._begin_string(data, start)

    def _begin(self, data: bytes, start: int, head: bytes, end: int) -> int:
        try:
            url = _BASE64_HEAD.fullmatch(json.loads(f'"{head.decode()}"'))
        except ValueError:
            raise InvalidJson from None
        if url is None or not self._expects_value():
            return self._begin_string(data, start)
        if len(self.payloads) == DATA_URL_LIMIT:
            raise InvalidRequest([Issue((), f"At most {DATA_URL_LIMIT} data URLs are allowed")])
        token = f"{self._secret}{len(self.payloads)}"
        media_type = url[1].partition(";")[0].lower()
        self._current = self.payloads[token] = Payload(media_type)
        self._pass(b'"%s"' % token.encode())
        self._state = Scanner._payload
        return end

    def _begin_string(self, data: bytes, start: int) -> int:
        self._pass(data[start : start + 1])
        self._state = Scanner._string
        return start + 1

    def _string(self, data: bytes, start: int) -> int:
        end, closed = self._content(data, start)
        self._pass(data[start : end + closed])
        if closed:
            self._close_string()
        return end + closed

    def _payload(self, data: bytes, start: int) -> int:
        assert self._current is not None
        end, closed = self._content(data, start)
        self._current.waiting += data[start:end]
        if closed:
            self._current.closed = True
            self._current = None
            self._close_string()
        return end + closed

    def _close_string(self) -> None:
        self._before = _QUOTE
        self._state = Scanner._text

    def _content(self, data: bytes, start: int) -> tuple[int, bool]:
        """Where a string's content ends, and whether with its quote; holds back half an escape."""
        quote = data.find(b'"', start)
        end = len(data) if quote < 0 else quote
        if data.find(b"\\", start, end) >= 0:
            match = _CONTENT.match(data, start)
            assert match is not None
            end = match.end()
        closed = data[end : end + 1] == b'"'
        if not closed and end < len(data):
            if len(data) - end >= ESCAPE_BYTES:
                raise InvalidJson
            self._held = data[end:]
        return end, closed

    def _pass(self, piece: bytes) -> None:
        if len(self.json) + len(piece) > JSON_LIMIT_BYTES:
            raise PayloadTooLarge
        self.json += piece

    def _follow(self, structure: bytes) -> None:
        """Keeps the open brackets, to bound the depth and to tell a value from a key."""
        self._structures += len(structure)
        for mark in structure[:STRUCTURE_LIMIT]:
            if mark in b"[{":
                self._open.append(mark)
                if len(self._open) > DEPTH_LIMIT:
                    raise InvalidJson
            elif mark in _OPENERS and (not self._open or self._open.pop() != _OPENERS[mark]):
                raise InvalidJson
        if self._structures > STRUCTURE_LIMIT:
            raise PayloadTooLarge
        self._before = structure[-1] if structure else self._before

    def _expects_value(self) -> bool:
        in_array = self._open[-1:] == b"["
        return self._before == ord(":") or (in_array and self._before in b"[,")


def _unescape(text: bytes) -> bytes:
    # PHP writes every slash as \/, .NET every plus as \u002B.
    if b"\\" not in text:
        return text
    content: str = json.loads(f'"{text.decode("ascii")}"')
    return content.encode("ascii")
