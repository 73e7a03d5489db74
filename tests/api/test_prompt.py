import asyncio

import pytest

from squero.api import prompt

pytestmark = pytest.mark.anyio


def begun(call):
    """What is left of a call, in a list, once it was begun outside any task."""
    rest = []
    asyncio.get_running_loop().call_soon(lambda: rest.append(prompt.begin(call)))
    return rest


async def test_is_over_when_it_never_waits():
    said = []

    async def call():
        said.append(asyncio.current_task())

    rest = begun(call())
    await asyncio.sleep(0)
    assert (rest, said) == ([None], [None])


async def test_goes_on_in_a_task():
    event, said = asyncio.Event(), []

    async def call():
        said.append(asyncio.current_task())
        await event.wait()
        said.append(asyncio.current_task())
        await asyncio.sleep(0)
        said.append("done")

    rest = begun(call())
    await asyncio.sleep(0)
    task = asyncio.create_task(rest[0])
    event.set()
    await task
    assert said == [None, task, "done"]


async def test_can_be_cancelled():
    async def call():
        try:
            await asyncio.Event().wait()
        finally:
            said.append("cleaned up")

    said = []
    rest = begun(call())
    await asyncio.sleep(0)
    task = asyncio.create_task(rest[0])
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["cleaned up"]


async def test_raises_what_it_waited_for_raises():
    future = asyncio.get_running_loop().create_future()

    async def call():
        with pytest.raises(KeyError):
            await future
        await asyncio.sleep(0)
        raise LookupError

    rest = begun(call())
    await asyncio.sleep(0)
    future.set_exception(KeyError())
    with pytest.raises(LookupError):
        await asyncio.create_task(rest[0])


async def test_taken_over_is_in_a_task_that_timeouts_can_hold_on_to():
    async def call():
        await prompt.taken_over()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

    rest = begun(call())
    await asyncio.sleep(0)
    await asyncio.create_task(rest[0])


async def test_taken_over_does_not_wait_in_a_task():
    coroutine = prompt.taken_over()
    with pytest.raises(StopIteration):
        coroutine.send(None)
