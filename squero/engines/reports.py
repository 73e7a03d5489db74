"""What a child reports, heard until it comes to a result, or to a failure that is raised.

A report that has no place where it comes is a breach of the protocol, and so a crash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from squero.engines.messages import Done, Drawn, Failed, Loaded, Priced, Progress, Settled
from squero.engines.process import PROTOCOL, Box
from squero.shot import BadInput, Crashed, OutOfMemory, RenderError, Stopped, UpstreamFailed

FAILURES: Mapping[str, type[RenderError]] = {
    kind.kind: kind for kind in (BadInput, OutOfMemory, UpstreamFailed, Crashed, Stopped)
}


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a render; each is called on the event loop."""

    progress: Callable[[float], None] = lambda share: None
    note: Callable[[str], None] = lambda note: None
    drawn: Callable[[], None] = lambda: None
    """The child is ready for the next shot, while the rest of this one goes on."""


DEAF = Listener()


async def loaded(box: Box) -> None:
    """Returns once the engine has loaded; raises OutOfMemory, Crashed."""
    match await box.report():
        case Loaded():
            return
        case Failed(kind=OutOfMemory.kind, words=words):
            raise OutOfMemory(f"The engine did not load: {words}")
        case Failed() as failed:
            # Whatever keeps an engine from loading, it is not the customer's input.
            raise Crashed(f"The engine did not load: {failed.words}")
    raise Crashed(PROTOCOL)


async def followed(box: Box, listener: Listener) -> Done | Drawn | Failed:
    """What ends the render, or its time in the berth; the listener hears what comes before."""
    while True:
        match await box.report():
            case Progress(_, share, note):
                listener.progress(share)
                if note is not None:
                    listener.note(note)
            case Done() | Drawn() | Failed() as ended:
                return ended
            case _:
                raise Crashed(PROTOCOL)


def done(ended: Done | Drawn | Failed) -> Done:
    """What the render took, or what it failed of is raised."""
    match ended:
        case Done():
            return ended
        case Failed(_, kind, words):
            raise FAILURES[kind](words)
    raise Crashed(PROTOCOL)


async def settled(box: Box, number: int) -> None:
    """Returns once the engine has let go of what it was told to."""
    if await box.report() != Settled(number):
        raise Crashed(PROTOCOL)


async def priced(box: Box) -> int | None:
    """What the engine was told that the shot costs; what kept it from asking is raised."""
    match await box.report():
        case Priced(_, micros):
            return micros
        case Failed(_, kind, words):
            raise FAILURES[kind](words)
    raise Crashed(PROTOCOL)
