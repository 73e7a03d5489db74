"""A ticket: where a shot is being rendered, as an engine's note says it to the next attempt."""

import json
from dataclasses import asdict, dataclass, replace

LONGEST_ID = 256


@dataclass(frozen=True, slots=True)
class Ticket:
    """The upstream's name and its id of the job, which is the shot's `turn`-th."""

    upstream: str | None = None
    id: str | None = None
    turn: int = 1

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
        """What `read` reads."""
        return json.dumps(asdict(self))

    def at(self, upstream: str, id: str) -> "Ticket":  # noqa: A002
        """The ticket once an upstream has taken the job."""
        return replace(self, upstream=upstream, id=id)

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
