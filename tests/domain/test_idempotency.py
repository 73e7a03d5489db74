"""A queue call that is sent twice makes one job."""

import asyncio
from dataclasses import replace

import pytest

from squero.domain import accounts, generation, idempotency, inputs, upkeep
from squero.domain.video_request import VideoRequest
from squero.errors import InvalidRequest
from squero.media.folder import Folder
from squero.media.keyring import Keyring

pytestmark = pytest.mark.anyio

TEXT = VideoRequest("motion-text-to-video", "a lagoon", "5s", resolution="480p")
DAY_SECONDS = 24 * 3600


@pytest.fixture
def keyring(tmp_path):
    """Keys of a secret of the test's own."""
    return Keyring(b"s" * 32, Folder(tmp_path))


class TestOnce:
    @pytest.mark.parametrize("key", ["a", "A-z_09", "x" * 255])
    def test_keys(self, keyring, key):
        assert idempotency.once(keyring, key, TEXT).key == key

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä", "a\n", "a.b", "\x00"])
    def test_no_keys(self, keyring, key):
        with pytest.raises(InvalidRequest):
            idempotency.once(keyring, key, TEXT)

    def test_the_hash_holds_no_prompt(self, keyring):
        short = idempotency.once(keyring, "k", TEXT)
        long = idempotency.once(keyring, "k", replace(TEXT, prompt="a lagoon " * 200))
        assert len(short.request_hash) == len(long.request_hash) == 32
        assert b"lagoon" not in short.request_hash + long.request_hash

    @pytest.mark.parametrize(
        "change",
        [
            {"prompt": "another"},
            {"model": "wan-2.5-preview-text-to-video"},
            {"duration": "10s"},
            {"resolution": None},
            {"negative_prompt": "fog"},
            {"audio": False},
            {"aspect_ratio": "1:1"},
            {"media": {"image_url": "data:,"}},
        ],
    )
    def test_every_field_counts(self, keyring, change):
        first = idempotency.once(keyring, "k", TEXT)
        assert idempotency.once(keyring, "k", TEXT) == first
        assert idempotency.once(keyring, "k", replace(TEXT, **change)) != first


class TestQueue:
    async def test_the_same_again_is_answered_again(self, yard, play, tenant):
        first = await generation.queue(yard, tenant.caller, TEXT, "k")
        before = await play.world()
        again = await generation.queue(yard, tenant.caller, TEXT, "k")
        assert (again.queue_id, again.replayed, first.replayed) == (first.queue_id, True, False)
        assert await play.world() == before

    async def test_another_body_is_refused(self, yard, play, tenant):
        await play.queue(tenant, "k")
        before = await play.world()
        with pytest.raises(InvalidRequest) as told:
            await play.queue(tenant, "k", replace(TEXT, prompt="another"))
        assert told.value.issues[0].path == ("Idempotency-Key",)
        assert await play.world() == before

    async def test_keys_are_the_accounts_own(self, play, tenant, open_tenant):
        other = await open_tenant()
        assert await play.queue(tenant, "k") != await play.queue(other, "k")
        assert await play.queue(tenant, "k") != await play.queue(tenant, "l")

    async def test_that_waits_for_its_epoch_holds_nothing(self, yard, play, tenant):
        await play.queue(tenant)
        async with yard.database.transaction() as tx:
            await accounts.set_diem(tx, tenant.account, 1_000_000)
        async with yard.database.transaction() as tx:
            await tx.run("ledger.refill", account_id=tenant.account.id)
            waiting = play.beside(play.queue(tenant, "k"))
            asked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(10):
                while not await play.sql(asked + " AND datname = current_database()"):
                    await asyncio.sleep(0.01)
            assert await play.sql("SELECT 1 FROM shares FOR UPDATE NOWAIT")
        assert (await play.row(await waiting))["currency"] == "DIEM"

    async def test_a_hundred_at_once_make_one_job(self, yard, play, tenant):
        answers = await asyncio.gather(
            *(generation.queue(yard, tenant.caller, TEXT, "k") for _ in range(100))
        )
        assert len({one.queue_id for one in answers}) == 1
        assert sum(not one.replayed for one in answers) == 1
        assert len(await play.sql("SELECT 1 FROM generations")) == 1
        assert await play.balance(tenant) == (950_000, 50_000)
        assert (await upkeep.audit(yard)).in_order

    async def test_forgotten_after_a_day(self, yard, play, tenant, pass_time):
        first = await play.queue(tenant, "k")
        await pass_time(DAY_SECONDS - 60)
        assert await play.queue(tenant, "k") == first
        await pass_time(61)
        second = await generation.queue(yard, tenant.caller, replace(TEXT, prompt="new"), "k")
        assert second.queue_id != first
        assert not second.replayed
        await upkeep.expire(yard)
        assert len(await play.sql("SELECT 1 FROM idempotency")) == 1
        await pass_time(DAY_SECONDS)
        await upkeep.expire(yard)
        assert not await play.sql("SELECT 1 FROM idempotency")

    async def test_looked_up_before_the_media(self, yard, play, tenant, monkeypatch):
        request = VideoRequest(
            "motion-image-to-video", "p", "5s", resolution="480p", media={"image_url": "data:,x"}
        )
        call = idempotency.once(yard.keyring, "k", request)
        queue_id = await play.queue(tenant)
        async with yard.database.transaction() as tx:
            assert await idempotency.remember(tx, tenant.account.id, call, queue_id)

        def sealed(*_: object) -> None:
            raise AssertionError("the media was looked into")

        monkeypatch.setattr(inputs, "sealed", sealed)
        answer = await generation.queue(yard, tenant.caller, request, "k")
        assert (answer.queue_id, answer.replayed) == (queue_id, True)

    async def test_a_failed_call_leaves_its_key_free(self, yard, play, open_tenant):
        tenant = await open_tenant(credit_micros=1)
        answers = await asyncio.gather(
            *(play.queue(tenant, "k") for _ in range(5)), return_exceptions=True
        )
        assert {type(one).__name__ for one in answers} == {"InsufficientBalance"}
        await play.sql("UPDATE balances SET available_micros = 50000")
        assert (await generation.queue(yard, tenant.caller, TEXT, "k")).replayed is False
