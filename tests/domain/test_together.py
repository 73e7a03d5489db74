"""One statement for all who ask at the time, and none that is older than the question."""

import asyncio

import pytest

from squero.domain.together import Together

pytestmark = pytest.mark.anyio


class Statement:
    """Answers each key with itself, once it is let go; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.go_on = asyncio.Event()
        self.error = None

    async def run(self, keys):
        self.asked.append(list(keys))
        await self.go_on.wait()
        if self.error:
            raise self.error
        return {key: key for key in keys if key != "nothing"}


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


class TestAsk:
    async def test_at_the_same_time_is_one_statement(self):
        statement = Statement()
        statement.go_on.set()
        together = Together(statement.run)
        answers = await asyncio.gather(*map(together.ask, ["a", "b", "a", "nothing"]))
        assert answers == ["a", "b", "a", None]
        assert statement.asked == [["a", "b", "a", "nothing"]]

    async def test_nobody_joins_a_statement_that_has_begun(self):
        statement = Statement()
        together = Together(statement.run)
        asking = []
        for key in "abcd":
            asking.append(asyncio.create_task(together.ask(key)))
            await turns()
        assert statement.asked == [["a"], ["b"]]
        statement.go_on.set()
        assert await asyncio.gather(*asking) == ["a", "b", "c", "d"]
        assert statement.asked == [["a"], ["b"], ["c", "d"]]

    async def test_one_after_another(self):
        statement = Statement()
        statement.go_on.set()
        together = Together(statement.run)
        async with asyncio.timeout(10):
            assert [await together.ask(key) for key in "abc"] == ["a", "b", "c"]

    async def test_an_error_is_everybodys_and_passes(self):
        statement = Statement()
        statement.go_on.set()
        statement.error = RuntimeError("away")
        together = Together(statement.run)
        failed = await asyncio.gather(*map(together.ask, "ab"), return_exceptions=True)
        assert [str(error) for error in failed] == ["away", "away"]
        statement.error = None
        assert await together.ask("a") == "a"

    async def test_one_who_leaves_disturbs_nobody(self):
        statement = Statement()
        together = Together(statement.run)
        leaving, staying = (asyncio.create_task(together.ask(key)) for key in "ab")
        await turns()
        leaving.cancel()
        statement.go_on.set()
        assert await staying == "b"
        assert leaving.cancelled()
