"""What `squero doctor` finds, one thing at a time."""

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; only "broken" keeps Squero from working."""

    subject: str
    grade: Grade
    says: str
    mend: str = ""

    @property
    def line(self) -> str:
        """As it is printed."""
        mend = f" Mend: {self.mend}" if self.mend else ""
        return f"{self.grade:<7} {self.subject}: {self.says}{mend}"
