"""The closed set of messages between a worker and the child that renders, as lines of JSON.

Commands go to the child and are trusted; reports come from a process that has read a customer's
bytes, so each is short, and checked field by field.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from squero.money import MICROS_PER_USD, MOST_USD
from squero.shot import Shot, is_note

COMMAND_BYTES = 1 << 20
"""The longest command: two prompts of 20,000 characters, escaped, and room for options."""
REPORT_BYTES = 4096
"""The longest report: what a pipe takes in one piece (PIPE_BUF)."""
WORDS = 200
"""The longest text that a failure carries, in characters."""
KINDS = frozenset({"bad_input", "out_of_memory", "upstream", "crash", "cancelled"})
"""How a child may say that a render failed; a deadline is for the parent to tell."""


class Garbled(ValueError):
    """A line that is not one of the messages."""


@dataclass(frozen=True, slots=True)
class Load:
    """Command: build this engine and load it; for its prices alone, only if it has some."""

    engine: str
    options: Mapping[str, object]
    prices_alone: bool = False


@dataclass(frozen=True, slots=True)
class Render:
    """Command: render this shot; `number` is never used again."""

    number: int
    shot: Shot
    out: Path


@dataclass(frozen=True, slots=True)
class Stop:
    """Command: stop the render of this number; nothing happens when it is over."""

    number: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Command: the job of this note is over."""

    number: int
    note: str


@dataclass(frozen=True, slots=True)
class Price:
    """Command: what would this shot cost? Nothing is rendered meanwhile."""

    number: int
    shot: Shot


@dataclass(frozen=True, slots=True)
class Loaded:
    """Report: the engine is ready."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Report: this share of the render is done, and what the next attempt is to know."""

    number: int
    share: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Report: what is left of the render goes on beside the next one, if that comes."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """Report: the video is written; the time it took and the most memory the child ever held."""

    number: int
    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Report: there is no video; number 0 speaks of the loading."""

    number: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Report: what could be let go of is."""

    number: int


@dataclass(frozen=True, slots=True)
class Priced:
    """Report: what the shot would cost; None where that is not told."""

    number: int
    price_micros: int | None


Command = Load | Render | Stop | Settle | Price
Report = Loaded | Progress | Drawn | Done | Failed | Settled | Priced

REPORTS: Mapping[str, type[Report]] = {
    "loaded": Loaded,
    "progress": Progress,
    "drawn": Drawn,
    "done": Done,
    "failed": Failed,
    "settled": Settled,
    "priced": Priced,
}
NAMES: Mapping[type[Command | Report], str] = {
    Load: "load",
    Render: "render",
    Stop: "stop",
    Settle: "settle",
    Price: "price",
    **{kind: name for name, kind in REPORTS.items()},
}


def encode(message: Command | Report) -> bytes:
    """The message as one line; raises ValueError when it is too long."""
    fields = asdict(message)
    line = json.dumps({"message": NAMES[type(message)], **fields}, default=str).encode() + b"\n"
    longest = REPORT_BYTES if isinstance(message, Report) else COMMAND_BYTES
    if len(line) > longest:
        raise ValueError(f"A {NAMES[type(message)]} message of {len(line)} bytes is too long")
    return line


def decode_command(line: bytes) -> Command:
    """The command in a line from the parent; raises Garbled."""
    fields = _fields(line)
    try:
        match fields.pop("message"):
            case "load":
                return Load(**fields)
            case "render":
                return Render(fields["number"], _shot(fields["shot"]), Path(fields["out"]))
            case "stop":
                return Stop(**fields)
            case "settle":
                return Settle(**fields)
            case "price":
                return Price(fields["number"], _shot(fields["shot"]))
    except (KeyError, TypeError, AttributeError):
        pass
    raise Garbled("Not a command")


def decode_report(line: bytes) -> Report:
    """The report in a line from the child; raises Garbled."""
    fields = _fields(line)
    try:
        report = REPORTS[fields.pop("message")](**fields)
    except (KeyError, TypeError):
        raise Garbled("Not a report") from None
    if not _is_sound(report):
        raise Garbled("A report with an unsound value")
    return report


def _shot(fields: dict[str, Any]) -> Shot:
    media = {role: Path(path) for role, path in fields.pop("media").items()}
    return Shot(**fields, media=media)


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise Garbled("Not JSON") from None
    if not isinstance(fields, dict):
        raise Garbled("Not an object")
    return fields


def _is_sound(report: object) -> bool:
    match report:
        case Loaded():
            return True
        case Progress(number=int(), share=float() | int() as share, note=None | str() as note):
            return 0 <= share <= 1 and (note is None or is_note(note))
        case Done(number=int(), seconds=float() | int() as seconds, peak_bytes=int() as peak):
            return 0 <= seconds < 1e9 and 0 <= peak < 1 << 63
        case Failed(number=int(), kind=str() as kind, words=str() as words):
            return kind in KINDS and len(words) <= WORDS
        case Drawn(number=int()) | Settled(number=int()):
            return True
        case Priced(number=int(), price_micros=None):
            return True
        case Priced(number=int(), price_micros=int() as micros):
            return not isinstance(micros, bool) and 0 <= micros <= MOST_USD * MICROS_PER_USD
        case _:
            return False
