"""What a benchmark gives: rows of figures, ratios that tell what they are worth, and verdicts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

Cell = str | int | float

_WORDS = {True: "PASS", False: "FAIL", None: "OPEN"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal held against what was measured; None where that shows neither one nor the other."""

    passed: bool | None
    goal: str


@dataclass(slots=True)
class Report:
    """One benchmark's figures; `columns` carry the units."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *row: Cell) -> None:
        """Add a row of figures."""
        self.rows.append(row)

    def judge(self, goal: str, *, passed: bool | None) -> None:
        """Add a verdict: one that fails makes the run end with status 1."""
        self.verdicts.append(Verdict(passed, goal))

    @property
    def passed(self) -> bool:
        """Whether no goal was missed."""
        return all(verdict.passed is not False for verdict in self.verdicts)

    def show(self, console: Console) -> None:
        """Print the table, then the verdicts and notes."""
        table = Table(*self.columns, title=self.title, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(*map(_text, row))
        console.print(table)
        for verdict in self.verdicts:
            console.print(f"{_WORDS[verdict.passed]}  {verdict.goal}", highlight=False)
        for note in self.notes:
            console.print(f"      {note}", highlight=False)
        console.print()

    def record(self) -> dict[str, object]:
        """The same as data."""
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 when there is no value."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell
