"""SQL with a name and a home: `sql/<noun>.sql` holds the statements `<noun>.<verb>`."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MARGIN = re.compile(r"^ *--.*\n|^ +", re.MULTILINE)


@cache
def _noun(noun: str) -> dict[str, LiteralString]:
    text = files("squero.store").joinpath("sql", f"{noun}.sql").read_text("utf-8")
    parts = cast(list[LiteralString], _NAME.split(text)[1:])
    # psycopg parses a statement of more than 4,096 characters anew in every call.
    bodies = (_MARGIN.sub("", body).strip() for body in parts[1::2])
    return dict(zip(parts[::2], bodies, strict=True))


@cache
def statement(name: str) -> LiteralString:
    """The text of the statement `noun.verb`; raises KeyError for a name that is not there."""
    noun, verb = name.split(".")
    return _noun(noun)[verb]
