"""Pixels: a Shot in, an MP4 out; knows nothing of jobs, money or the API.

An engine is a class that a package declares in the entry-point group `squero.engines`. It is made
with the options of its catalogue entry as keywords, in a child process of the worker (`host`).
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from squero.shot import Shot

GROUP = "squero.engines"


class Tell(Protocol):
    """Reports progress; raises `squero.shot.Stopped` when the render is to stop."""

    def __call__(self, share: float, note: str | None = None) -> None:
        """Tell a share from 0 to 1, and perhaps a note of up to 1 KiB in printable characters.

        The note is kept sealed with the job and comes back as `shot.note`: what the next attempt
        needs in order to go on where this one ended.
        """


Rest = Callable[[], None]
"""What is left of a render once it needs no accelerator any more, such as the coding."""


@runtime_checkable
class Engine(Protocol):
    """What renders. Both methods may block; both run in the child's main thread.

    From `load` on there is no network, loopback included, unless an attribute `network` is true.
    """

    def load(self) -> None:
        """Make ready for renders; called once, before the first."""

    def render(self, shot: Shot, out: Path, tell: Tell) -> Rest | None:
        """Write the shot as an MP4 to `out`, telling the progress often enough to be stopped.

        What is left to do without the accelerator may be given back: it is called in a thread, at
        most one at a time, while the next shot is rendered, and raises what a render may. Raises
        `BadInput` with words for the customer, `OutOfMemory`, `UpstreamFailed`, and lets
        `Stopped` pass; anything else it raises counts as a crash.
        """


@runtime_checkable
class Settles(Protocol):
    """What an engine has besides when it leaves something elsewhere, such as on an upstream."""

    def settle(self, note: str) -> None:
        """The job of this note is over, its video sealed or unwanted: let go of what it left.

        Called in a thread of its own, perhaps while another shot is rendered.
        """


@runtime_checkable
class Checks(Protocol):
    """What an engine has besides when it can tell before `load` that it would not load."""

    def missing(self, constraints: Mapping[str, object] | None) -> str | None:
        """A sentence that names what is to be put where, such as a package or a file; or None.

        `constraints` are the catalogue entry's, where they are known: what they promise and the
        engine cannot do is missing, too. It reads no weights and is done in seconds.
        """


@runtime_checkable
class Prices(Protocol):
    """What an engine has besides when what it renders costs money elsewhere."""

    def price(self, shot: Shot) -> int | None:
        """What such a shot costs there now, in micros of a USD, rounded up.

        Its prompt is empty, and what it would start from is not there. None: not told for this
        one. Raises `UpstreamFailed` when nothing is told at all.
        """


def reference(name: str) -> str:
    """The "module:attribute" of the engine of this name; raises LookupError."""
    values = {point.value for point in entry_points(group=GROUP, name=name)}
    if not values:
        raise LookupError(
            f"No installed package declares an engine {name!r}: install one that does"
        )
    if len(values) > 1:
        raise LookupError(f"Several packages declare an engine {name!r}: {sorted(values)}")
    return values.pop()


def build(ref: str, options: Mapping[str, object]) -> Engine:
    """The engine at "module:attribute", made with these options; raises TypeError for another."""
    engine = EntryPoint(name=ref, value=ref, group=GROUP).load()(**options)
    if not isinstance(engine, Engine):
        raise TypeError(f"{ref} is not an engine: it lacks load or render")
    return engine


def find(name: str, options: Mapping[str, object]) -> Engine:
    """The engine of this name in this very process; raises LookupError when there is none."""
    return build(reference(name), options)
