"""A customer's verbs."""

import pytest

from squero.domain import attempt, generation, keys
from squero.domain.catalog import VideoRequest

pytestmark = pytest.mark.anyio

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")


class TestQueue:
    async def test_holds_the_quoted_price(self, yard, open_tenant):
        tenant = await open_tenant(credit_micros=100_000)
        price = generation.quote(yard, TEXT)
        queued = await generation.queue(yard, tenant.caller, TEXT, None)
        assert queued.model == TEXT.model
        async with yard.database.reading() as tx:
            balance = await tx.all(dict, "ledger.totals")
        assert balance[0]["held_micros"] == price
