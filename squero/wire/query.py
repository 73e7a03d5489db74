"""Queries: texts by name, read one by one, and everything that is wrong with them told at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final, TypeVar

from squero.errors import LIMIT_QUOTED, InvalidRequest, Issue

_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME: Final = r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
_LIMIT_TIME: Final = 40

T = TypeVar("T")
D = TypeVar("D")


class Wrong(Exception):
    """A value that is none; the issue has no path yet."""

    def __init__(
        self, message: str, code: str, expected: str | None = None, *, got: str = ""
    ) -> None:
        self.issue = Issue((), message, code, expected, got[:LIMIT_QUOTED] or None)


class Query:
    """A query that is read name by name; everything that is wrong with it is told at once."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._issues: list[Issue] = []

    def read(self, name: str, reader: Callable[[str], T], default: D) -> T | D:
        """The value of this name, or the default where there is none, or a wrong one."""
        text = self._values.get(name)
        try:
            return default if text is None else reader(text)
        except Wrong as wrong:
            self._issues.append(replace(wrong.issue, path=(name,)))
            return default

    def check(self) -> None:
        """Raise InvalidRequest if anything was wrong."""
        if self._issues:
            raise InvalidRequest(self._issues)


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Reads one of these."""

    def read(text: str) -> str:
        if text in known:
            return text
        expected = " | ".join(f"'{one}'" for one in known)
        message = f"Invalid enum value. Expected {expected}, received '{text[:LIMIT_QUOTED]}'"
        raise Wrong(message, "invalid_enum_value", expected, got=text)

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within these bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,1000}", text):
            raise Wrong("Expected number, received nan", "invalid_type", "number", got="nan")
        number = int(text)
        if number < least:
            raise Wrong(f"Number must be greater than or equal to {least}", "too_small")
        if number > most:
            raise Wrong(f"Number must be less than or equal to {most}", "too_big")
        return number

    return read


def day(text: str) -> date:
    """Reads `YYYY-MM-DD`."""
    return _iso(_DAY, text, "Invalid date: YYYY-MM-DD").date()


def utc_moment(text: str) -> datetime:
    """Reads `YYYY-MM-DDTHH:MM:SSZ`, with up to nine digits of a second behind it."""
    return _iso(rf"{_DAY}{_TIME}Z", text, "Invalid datetime: YYYY-MM-DDTHH:MM:SSZ")


def moment(text: str) -> datetime:
    """Reads the same with any offset, or a day alone, which is its begin in UTC."""
    zone = r"(Z|[+-][0-9]{2}:[0-9]{2})"
    return _iso(rf"{_DAY}({_TIME}{zone})?", text, "Invalid datetime")


def _iso(form: str, text: str, message: str) -> datetime:
    try:
        if len(text) > _LIMIT_TIME or not re.fullmatch(form, text):
            raise ValueError
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong(message, "invalid_string") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
