"""What a body says: JSON that means only one thing, and text that any reader may hold."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from squero.api.scanner import Payload
from squero.errors import InvalidJson, InvalidRequest, Issue
from squero.media.spool import DataUrl

NUMBER_LIMIT_DIGITS = 100
PATH_LIMIT_CHARACTERS = 80
"""Longer paths are the client's own words, which do not belong in an answer."""

Place: TypeAlias = tuple[str | int, ...]

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
_NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")


def understand(
    data: bytes | bytearray, payloads: Mapping[str, Payload]
) -> tuple[dict[str, Any], dict[Place, DataUrl]]:
    """The object that a document spells, with its media put in, and the media by their places.

    Raises InvalidJson and InvalidRequest.
    """
    fields = parse_object(data)
    if not payloads and not _SUSPECT.search(data):
        return fields, {}
    walk = _Walk(payloads)
    walk.enter(fields)
    return fields, walk.media


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
