"""A claimed job, as the server words it."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any
from uuid import UUID

from squero.needs import Needs
from squero.shot import Shot


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed attempt."""

    queue_id: UUID
    attempt: int
    model: str
    engine: str
    options: Mapping[str, Any]
    shot: Mapping[str, Any]
    deadline_seconds: float
    needs: Needs = field(default_factory=Needs)
    keep_warm: bool = False

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Job":
        """The job in the answer to a claim; words of a newer server are left out."""
        known = {one.name: body[one.name] for one in fields(cls) if _is_there(one, body)}
        needs = Needs(**body.get("needs", {}))
        return cls(**known | {"queue_id": UUID(body["queue_id"]), "needs": needs})

    @property
    def path(self) -> str:
        """Where the server listens for news of it."""
        return f"/worker/v1/jobs/{self.queue_id}/{self.attempt}"

    @property
    def words(self) -> Mapping[str, Any]:
        """What a line of the log calls it."""
        return {"queue_id": str(self.queue_id), "attempt": self.attempt}

    def shot_of(self, media: Mapping[str, Path]) -> Shot:
        """What the engine renders, of these files."""
        known = {one.name for one in fields(Shot)}
        wanted = {name: value for name, value in self.shot.items() if name in known}
        return Shot(**wanted, media=media, types=self.shot["inputs"], key=str(self.queue_id))


def _is_there(one: Any, body: Mapping[str, Any]) -> bool:
    return one.name in body or one.default_factory is one.default is MISSING
