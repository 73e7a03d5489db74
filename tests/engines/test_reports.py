"""Reports: what they come to, and that one out of its place is a crash."""

from collections.abc import Awaitable, Callable

import pytest

from squero.engines.messages import Done, Drawn, Failed, Loaded, Priced, Progress, Report, Settled
from squero.engines.process import Box
from squero.engines.reports import DEAF, Listener, done, followed, loaded, priced, settled
from squero.shot import BadInput, Crashed, OutOfMemory, UpstreamFailed

pytestmark = pytest.mark.anyio

DONE = Done(1, 2.5, 1_000_000)


def box_of(*reports: Report) -> Box:
    """A box into which a child has put these."""
    box = Box()
    for report in reports:
        box.put(report)
    return box


async def test_the_listener_hears_all_until_the_end() -> None:
    heard: list[object] = []
    listener = Listener(progress=heard.append, note=heard.append)
    box = box_of(Progress(1, 0.25, None), Progress(1, 0.5, "here"), Drawn(1), DONE)
    assert await followed(box, listener) == Drawn(1)
    assert heard == [0.25, 0.5, "here"]
    assert done(await followed(box, listener)) == DONE


async def test_a_failure_is_raised_as_what_it_is() -> None:
    with pytest.raises(BadInput, match="no picture"):
        done(Failed(1, "bad_input", "no picture"))
    with pytest.raises(UpstreamFailed, match="it is away"):
        await priced(box_of(Failed(1, "upstream", "it is away")))


async def test_bad_input_is_no_reason_not_to_load() -> None:
    with pytest.raises(Crashed, match="did not load: no weights"):
        await loaded(box_of(Failed(0, "bad_input", "no weights")))
    with pytest.raises(OutOfMemory):
        await loaded(box_of(Failed(0, "out_of_memory", "too large")))


@pytest.mark.parametrize(
    ("hear", "report"),
    [
        (loaded, DONE),
        (lambda box: followed(box, DEAF), Loaded()),
        (lambda box: settled(box, 1), Settled(2)),
        (priced, Settled(1)),
    ],
    ids=["loading", "a render", "settling", "a price"],
)
async def test_out_of_its_place_is_a_crash(
    hear: Callable[[Box], Awaitable[object]], report: Report
) -> None:
    with pytest.raises(Crashed, match="broke the protocol"):
        await hear(box_of(report))


async def test_a_price_may_not_be_told() -> None:
    assert await priced(box_of(Priced(1, None))) is None
    assert await priced(box_of(Priced(1, 20_000))) == 20_000
