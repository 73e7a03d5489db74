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

Tell = Callable[[float], None]
"""Reports progress from 0 to 1; raises `squero.shot.Stopped` when the render is to stop."""


@runtime_checkable
class Engine(Protocol):
    """What renders. Both methods may block; both run in the child's main thread."""

    def load(self) -> None:
        """Make ready for renders; called once, before the first."""

    def render(self, shot: Shot, out: Path, tell: Tell) -> None:
        """Write the shot as an MP4 to `out`, telling the progress often enough to be stopped.

        Raises `BadInput` with words for the customer, `OutOfMemory`, and lets `Stopped` pass;
        anything else it raises counts as a crash.
        """


def reference(name: str) -> str:
    """The "module:attribute" of the engine of this name; raises LookupError."""
    values = {point.value for point in entry_points(group=GROUP, name=name)}
    if not values:
        raise LookupError(f"No installed package declares an engine {name!r}")
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
