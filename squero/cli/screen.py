"""Where `squero video` tells how it goes: bars for people, lines for pipes and log files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Protocol

import anyio
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from squero.client import Progress

LINE_EVERY_SECONDS = 10.0


class Screen(Protocol):
    """Where the command tells how it goes."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def progress(self, progress: Progress) -> None:
        """How far the job is."""

    def received(self, done: int, total: int | None) -> None:
        """How much of the video is here, in bytes."""


class Lines:
    """For pipes and log files: a line when something changes, and now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[int | None, float] | None = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        now = anyio.current_time()
        place, since = self._last or (-1, 0.0)
        if place != progress.position or now - since >= LINE_EVERY_SECONDS:
            self._last = progress.position, now
            self.say(f"{_stage(progress)}, {_left(progress)}")

    def received(self, done: int, total: int | None) -> None:
        pass


class Bars:
    """For people: one bar that moves as far as the job really is."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("Asking for the price", total=None, left="")

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        whole = progress.elapsed_ms + progress.remaining_ms
        known = progress.position is None and progress.remaining_ms > 0
        self._bar.update(
            self._task,
            description=_stage(progress),
            completed=progress.elapsed_ms if known else 0,
            total=whole if known else None,
            left=_left(progress),
        )

    def received(self, done: int, total: int | None) -> None:
        left = f"{megabytes(done)} of {megabytes(total)}" if total else megabytes(done)
        self._bar.update(
            self._task, description="Downloading", completed=done, total=total, left=left
        )


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Bars on a terminal, lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield Lines(console)
        return
    stage, left = "{task.description}", "{task.fields[left]}"
    columns = TextColumn(stage, markup=False), BarColumn(), TextColumn(left, markup=False)
    with Bar(*columns, console=console, transient=True) as bar:
        yield Bars(bar)


def dollars(price: Decimal) -> str:
    """At least cents, and every digit that there is."""
    text = f"{price.normalize():f}"
    cents = len(text.partition(".")[2])
    return f"${text}" if cents >= 2 else f"${price:.2f}"


def megabytes(count: int) -> str:
    """So many bytes, in words."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{math.ceil(count / 1e3)} kB"


def _stage(progress: Progress) -> str:
    if progress.position is None:
        return "Rendering"
    return f"Waiting at place {max(progress.position, 1)}"


def _left(progress: Progress) -> str:
    """The remaining time in words; no number that nobody believes."""
    seconds = math.ceil(progress.remaining_ms / 1000)
    if seconds <= 0:
        return "longer than usual" if progress.elapsed_ms > progress.average_ms else "almost done"
    minutes, rest = divmod(seconds, 60)
    return f"about {minutes} min {rest} s left" if minutes else f"about {seconds} s left"
