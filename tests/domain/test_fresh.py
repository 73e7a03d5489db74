"""A value is read once for all who want it, and again when it is too old."""

import asyncio

import pytest

from squero.domain.fresh import Fresh

pytestmark = pytest.mark.anyio


class Source:
    """Counts how often it is read, and answers once it is let go."""

    def __init__(self):
        self.read = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error = None

    async def get(self, key):
        self.read.append(key)
        await self.go_on.wait()
        if self.error:
            raise self.error
        return len(self.read)


class TestGet:
    async def test_known_for_a_moment(self):
        source = Source()
        fresh = Fresh(source.get, 1000)
        assert [await fresh.get("a"), await fresh.get("a"), await fresh.get("b")] == [1, 1, 2]

    async def test_read_again_when_too_old(self):
        source = Source()
        fresh = Fresh(source.get, 0)
        assert [await fresh.get("a"), await fresh.get("a")] == [1, 2]

    async def test_one_reading_for_all_who_wait(self):
        source = Source()
        source.go_on.clear()
        fresh = Fresh(source.get, 0)
        asking = [asyncio.create_task(fresh.get("a")) for _ in range(10)]
        await asyncio.sleep(0)
        asking[0].cancel()
        source.go_on.set()
        assert await asyncio.gather(*asking[1:]) == [1] * 9
        assert source.read == ["a"]

    async def test_an_error_is_not_remembered(self):
        source = Source()
        source.error = RuntimeError("away")
        fresh = Fresh(source.get, 1000)
        with pytest.raises(RuntimeError, match="away"):
            await fresh.get("a")
        source.error = None
        assert await fresh.get("a") == 2

    async def test_forgets_what_was_read_first(self):
        source = Source()
        fresh = Fresh(source.get, 1000, most=2)
        for key in "abca":
            await fresh.get(key)
        assert source.read == ["a", "b", "c", "a"]
