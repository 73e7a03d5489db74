"""A ticket: where a shot is being rendered, as an engine's note says it to the next attempt."""

import json
from dataclasses import asdict, dataclass, field, replace

from squero.shot import is_note

LONGEST_ID = 256


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that an upstream took."""

    id: str
    url: str | None = field(default=None, repr=False)
    """Where its video will lie, if that is a place of its own: whoever has this has the video."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The upstream's name and its id of the job, which is the shot's `turn`-th.

    A name without an id: it was offered the shot, and may have taken it.
    """

    upstream: str | None = None
    id: str | None = None
    turn: int = 1
    url: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, note: str | None) -> "Ticket":
        """The ticket in a note; an empty one where there is none."""
        if note is None:
            return cls()
        try:
            return cls(**json.loads(note))
        except (ValueError, TypeError):
            return cls()

    @property
    def note(self) -> str:
        """What `read` reads; it is without an address for which a note has no room."""
        found = asdict(self)
        if self.url is None:
            del found["url"]
        note = json.dumps(found)
        return note if is_note(note) else replace(self, url=None).note

    @property
    def job(self) -> Taken | None:
        """The upstream's job, once it has said that it took the shot."""
        return None if self.id is None else Taken(self.id, self.url)

    def at(self, upstream: str | None, job: Taken | None = None) -> "Ticket":
        """The ticket of a shot that an upstream is offered, or has taken as this job."""
        id, url = (job.id, job.url) if job else (None, None)  # noqa: A001
        return replace(self, upstream=upstream, id=id, url=url)

    def void(self) -> "Ticket":
        """The ticket for another job, since this one gave no video."""
        return Ticket(turn=self.turn + 1)


def is_id(value: object) -> bool:
    """Whether an upstream's id can be noted, and put into a path."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_ID
        and value.isascii()
        and all(one.isalnum() or one in "-_.:=~" for one in value)
        and value.strip(".") != ""
    )
