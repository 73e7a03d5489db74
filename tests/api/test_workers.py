"""The workers' protocol, spoken by hand."""

import asyncio
import time
from uuid import UUID, uuid4

import pytest

from squero.api import workers
from squero.api.house import Leases
from squero.app import Application
from squero.domain import attempt, generation, keys

from .conftest import Hand

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]


async def state(yard, job):
    """State, strikes, attempt and what is left of the money: held and revenue."""
    async with yard.database.reading() as tx:
        found = await tx._connection.execute(
            "SELECT g.state, g.strikes, g.attempt, b.held_micros FROM generations g"
            " JOIN balances b USING (account_id) WHERE queue_id = %s",
            [job["queue_id"]],
        )
        return await found.fetchone()


def listening(house):
    """How many claims wait for the bell."""
    return sum(not ring.done() for ring in house.bell._waiting["default"])


class TestModels:
    async def test_are_those_of_the_lane(self, hand, open_hand, yard):
        models = (await hand.call("GET", "/models")).json()["models"]
        assert {one["id"] for one in models} == set(yard.catalog.models)
        (text,) = (one for one in models if one["id"] == "motion-text-to-video")
        assert text["engine"] == "motion"
        assert text["needs"] == {"gpus": 0, "vram_gb": 0, "ram_gb": 0}
        assert text["constraints"]["model_type"] == "text-to-video"
        other = await open_hand(lane="other")
        assert (await other.call("GET", "/models")).json() == {"models": []}


class TestTroubles:
    async def test_leave_the_job_to_another_worker(self, customer, hand, open_hand, house):
        troubles = {"motion-text-to-video": "It needs a GPU"}
        asked = {"wait_seconds": 4, "troubles": troubles}
        unable = asyncio.create_task(hand.call("POST", "/claim", json=asked))
        able = None
        while listening(house) < 1:
            await asyncio.sleep(0.005)
        able = asyncio.create_task((await open_hand()).claim(wait_seconds=4))
        while listening(house) < 2:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        job = await customer.queue()  # it rings for the one that has waited longest
        assert (await able).json()["queue_id"] == job["queue_id"]
        assert time.monotonic() - began < 2
        unable.cancel()

    @pytest.mark.parametrize(
        "troubles",
        [{"m": "a\nb"}, {"m": "x" * 301}, {"a/b": "no"}, {"m": 1}, ["m"], {"m": "\u0000"}],
        ids=str,
    )
    async def test_that_are_none(self, hand, troubles):
        asked = {"wait_seconds": 0, "troubles": troubles}
        assert (await hand.call("POST", "/claim", json=asked)).status_code == 400


class TestOptions:
    async def test_after_memory_ran_out(self, customer, hand, yard, monkeypatch):
        model = yard.catalog.models["motion-text-to-video"]
        changed = model.model_copy(
            update={"options": {"a": 1, "b": 2}, "on_oom": {"b": 3}, "keep_warm": True}
        )
        monkeypatch.setitem(yard.catalog.models, model.id, changed)
        await customer.queue()
        first = (await hand.claim()).json()
        assert first["options"] == {"a": 1, "b": 2}
        assert first["keep_warm"] is True
        await hand.fail(f"/jobs/{first['queue_id']}/1", "out_of_memory")
        assert (await hand.claim()).json()["options"] == {"a": 1, "b": 3}


class TestClaim:
    async def test_gives_the_words_and_the_size(self, customer, hand):
        job = await customer.queue(prompt="two boats", aspect_ratio="9:16", audio=False)
        claimed = (await hand.claim()).json()
        assert claimed["queue_id"] == job["queue_id"]
        assert claimed["attempt"] == 1
        assert claimed["engine"] == "motion"
        shot = claimed["shot"]
        assert shot.pop("seed") >= 0
        assert shot.pop("negative_prompt").startswith("low resolution")
        assert shot == {
            "prompt": "two boats",
            "width": 480,
            "height": 848,
            "frames": 120,
            "fps": 24,
            "audio": False,
            "inputs": {},
            "resolution": "480p",
            "note": None,
        }

    async def test_without_work(self, hand):
        began = time.monotonic()
        assert (await hand.claim(wait_seconds=0.2)).status_code == 204
        assert time.monotonic() - began >= 0.2

    async def test_ends_with_the_token(self, hand, house, yard, customer, monkeypatch):
        """Long before the wait would be over, and without a job that has come meanwhile."""
        monkeypatch.setattr(workers, "_LOOK_AGAIN_SECONDS", 0.05)
        waits = asyncio.create_task(hand.claim(wait_seconds=20))
        while listening(house) < 1:
            await asyncio.sleep(0.005)
        async with yard.database.transaction() as tx:
            for worker_id in await tx.values("workers.list"):
                await tx.run("workers.revoke", worker_id=worker_id)
        await customer.queue()
        assert (await asyncio.wait_for(waits, 5)).status_code == 401

    async def test_is_woken_by_a_job_and_alone(self, customer, open_hand, house):
        hands = [await open_hand() for _ in range(2)]
        claims = {asyncio.create_task(hand.claim(wait_seconds=4)) for hand in hands}
        while listening(house) < 2:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        job = await customer.queue()
        done, waiting = await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
        assert time.monotonic() - began < 2
        assert [task.result().json()["queue_id"] for task in done] == [job["queue_id"]]
        (waits,) = waiting
        assert listening(house) == 1
        await customer.queue()
        assert (await waits).status_code == 200

    async def test_hears_a_job_that_comes_while_it_looks(self, customer, hand, house, monkeypatch):
        looked, claim = asyncio.Event(), attempt.claim

        async def look(*arguments):
            found = await claim(*arguments)
            if not looked.is_set():
                looked.set()
                await customer.queue()
                await asyncio.sleep(0.2)  # the notice of it comes before this claim listens
            return found

        monkeypatch.setattr(attempt, "claim", look)
        began = time.monotonic()
        assert (await hand.claim(wait_seconds=4)).status_code == 200
        assert time.monotonic() - began < 2

    async def test_own_workers_are_counted_once_each(self, http, house, yard, monkeypatch):
        monkeypatch.setattr(house.readiness, "own_workers", 2)
        monkeypatch.setattr(house.readiness, "asked", set())
        for name in ("own 0", "own 0", "own 0"):  # it died twice
            async with yard.database.transaction() as tx:
                made = keys.create_worker(tx, yard.keyring, name, "default", server=uuid4())
                worker_id, token = await made
            assert (await Hand(http, token, worker_id).claim()).status_code == 204
        assert not house.readiness.ready
        async with yard.database.transaction() as tx:
            made = keys.create_worker(tx, yard.keyring, "own 1", "default", server=uuid4())
            worker_id, token = await made
        assert (await Hand(http, token, worker_id).claim()).status_code == 204
        assert house.readiness.ready

    async def test_of_another_lane(self, customer, open_hand):
        await customer.queue()
        assert (await (await open_hand(lane="other")).claim()).status_code == 204

    @pytest.mark.parametrize(
        "asked",
        [{"warm": "x"}, {"wait_seconds": 31}, {"wait_seconds": -1}, {"x": 1}],
    )
    async def test_refuses(self, hand, asked):
        assert (await hand.call("POST", "/claim", json=asked)).status_code == 400

    async def test_with_a_revoked_token(self, hand, yard):
        async with yard.database.transaction() as tx:
            await tx.run("workers.revoke", worker_id=hand.worker_id)
        answer = await hand.claim()
        assert (answer.status_code, answer.json()) == (401, {"error": "Authentication failed"})

    async def test_with_a_customers_key(self, customer, http):
        answer = await http.post("/worker/v1/claim", json={}, headers=customer.headers)
        assert answer.status_code == 401


class TestInput:
    @pytest.fixture
    async def job(self, customer, hand, picture):
        await customer.queue(model="motion-image-to-video", image_url=picture)
        return await hand.take()

    async def test_by_its_role(self, hand, job):
        answer = await hand.call("GET", f"{job}/inputs/image")
        assert answer.status_code == 200
        assert answer.headers["content-type"] in ("image/png", "image/jpeg")
        assert len(answer.content) == int(answer.headers["content-length"]) > 0

    @pytest.mark.parametrize("role", ["audio", "prompt", "..%2fimage", "result"])
    async def test_of_another_role(self, hand, job, role):
        assert (await hand.call("GET", f"{job}/inputs/{role}")).status_code == 404

    async def test_of_another_worker(self, open_hand, job):
        answer = await (await open_hand()).call("GET", f"{job}/inputs/image")
        assert answer.status_code == 409

    async def test_of_an_attempt_that_is_over(self, hand, job):
        await hand.fail(job, "crash")
        assert (await hand.call("GET", f"{job}/inputs/image")).status_code == 409


class TestProgress:
    async def test_of_a_stale_attempt(self, customer, hand):
        await customer.queue()
        job = await hand.take()
        assert (await hand.progress(job)).json() == {"go_on": True}
        assert (await hand.call("POST", f"{job}/hand-back")).status_code == 204
        assert (await hand.progress(job)).status_code == 409
        again = await hand.take()
        assert again != job
        assert (await hand.progress(job)).status_code == 409
        assert (await hand.progress(again)).status_code == 200

    async def test_of_another_worker(self, customer, hand, open_hand):
        await customer.queue()
        job = await hand.take()
        assert (await (await open_hand()).progress(job)).status_code == 409

    async def test_writes_the_lease_every_third(self, customer, hand, house, monkeypatch):
        await customer.queue()
        job = await hand.take()
        written, renew, now = [], attempt.progress, time.monotonic()

        async def count(*arguments, **options):
            written.append(arguments[4])
            await renew(*arguments, **options)

        monkeypatch.setattr(attempt, "progress", count)
        for second in range(1, 10):
            monkeypatch.setattr("squero.api.house.time.monotonic", lambda at=now + second: at)
            assert (await hand.progress(job, second / 10)).json() == {"go_on": True}
        assert written == [0.3, 0.6, 0.9]
        assert (await hand.progress(job, 1)).json() == {"go_on": True}
        assert written[-1] == 1

    async def test_a_note_is_kept_at_once(self, customer, hand):
        job = await customer.queue()
        for number in (1, 2):
            path = await hand.take()
            assert path.endswith(f"/{number}")
            told = {"progress": 0.1, "note": f"at {number}"}
            answer = await hand.call("POST", f"{path}/progress", json=told)
            assert answer.json() == {"go_on": True}
            assert (await hand.progress(path)).status_code == 200  # without one the note stays
            assert (await hand.fail(path, "upstream")).status_code == 204
        claimed = (await hand.claim()).json()
        assert (claimed["queue_id"], claimed["shot"]["note"]) == (job["queue_id"], "at 2")

    async def test_of_a_cancelled_job(self, customer, hand, yard):
        job = await customer.queue()
        path = await hand.take()
        await generation.cancel(yard, customer.account_id, UUID(job["queue_id"]))
        told = {"progress": 1, "note": "late"}
        answer = await hand.call("POST", f"{path}/progress", json=told)
        assert (answer.status_code, answer.json()) == (200, {"go_on": False})

    @pytest.mark.parametrize("note", ["x" * 1025, "é" * 513, "two\nlines", "\x7f", 3, ["x"]])
    async def test_refuses_a_note(self, customer, hand, note):
        await customer.queue()
        told = {"progress": 0.5, "note": note}
        answer = await hand.call("POST", f"{await hand.take()}/progress", json=told)
        assert answer.status_code == 400

    @pytest.mark.parametrize("share", [-0.1, 1.1, "half", None])
    async def test_refuses(self, customer, hand, share):
        await customer.queue()
        job = await hand.take()
        answer = await hand.call("POST", f"{job}/progress", json={"progress": share})
        assert answer.status_code == 400


class TestLeases:
    def test_is_fresh_for_a_part_of_the_lease(self):
        worker_id, queue_id, leases = uuid4(), uuid4(), Leases(lease_seconds=2)
        leases.write(worker_id, queue_id, 1, time.monotonic() - 0.3)
        assert leases.fresh(worker_id, queue_id, 1)
        leases.write(worker_id, queue_id, 1, time.monotonic() - 0.9)
        assert not leases.fresh(worker_id, queue_id, 1)

    def test_knows_one_attempt_of_a_job(self):
        worker_id, queue_id, leases = uuid4(), uuid4(), Leases(lease_seconds=6)
        leases.write(worker_id, queue_id, 2, time.monotonic())
        leases.write(worker_id, queue_id, 1, time.monotonic())
        assert leases.fresh(worker_id, queue_id, 2)
        assert not leases.fresh(worker_id, queue_id, 1)
        assert not leases.fresh(uuid4(), queue_id, 2)
        leases.forget(queue_id)
        assert not leases.fresh(worker_id, queue_id, 2)

    def test_forgets_the_oldest(self):
        leases, first = Leases(lease_seconds=6), uuid4()
        leases.write(first, first, 1, time.monotonic())
        for _ in range(10_000):
            other = uuid4()
            leases.write(other, other, 1, time.monotonic())
        assert not leases.fresh(first, first, 1)
        assert leases.fresh(other, other, 1)


class TestResult:
    async def test_completes_and_captures_once(self, open_customer, hand, film, yard):
        customer = await open_customer(credit_micros=1_000_000)
        job = await customer.queue()
        path = await hand.take()
        for _ in range(2):
            answer = await hand.upload(path, film)
            assert (answer.status_code, answer.content) == (204, b"")
        assert await state(yard, job) == ("completed", 0, 1, 0)
        async with yard.database.reading() as tx:
            assert (await tx.one(dict, "ledger.totals"))["revenue_micros"] == 50_000

    @pytest.mark.parametrize("kind", ["garbage", "empty", "silent size"])
    async def test_that_is_not_as_ordered_is_a_strike(self, customer, hand, film, yard, kind):
        changes = {"aspect_ratio": "1:1"} if kind == "silent size" else {}
        job = await customer.queue(**changes)
        content = {"garbage": b"ftyp" * 1000, "empty": b"", "silent size": film}[kind]
        answer = await hand.upload(await hand.take(), content)
        assert answer.status_code == 400
        assert (await state(yard, job))[:3] == ("queued", 1, 1)
        assert (await customer.retrieve(job)).json()["status"] == "PROCESSING"

    async def test_that_is_too_large(self, customer, hand, yard, monkeypatch):
        job = await customer.queue()
        path = await hand.take()
        declared = str(yard.settings.result_limit_bytes + 1)
        answer = await hand.call(
            "PUT", f"{path}/result", content=b"x", headers={"content-length": declared}
        )
        assert answer.status_code == 413
        monkeypatch.setitem(yard.settings.__dict__, "result_limit_bytes", 1_000_000)

        async def parts():
            for _ in range(3):
                yield bytes(500_000)

        assert (await hand.upload(path, parts())).status_code == 413
        assert (await state(yard, job))[:3] == ("rendering", 0, 1)

    async def test_of_a_stale_attempt(self, customer, hand, film):
        await customer.queue()
        path = await hand.take()
        await hand.call("POST", f"{path}/hand-back")
        assert (await hand.upload(path, film)).status_code == 409

    async def test_sent_four_times_at_once(self, customer, hand, film, yard, stored):
        job = await customer.queue()
        path = await hand.take()
        answers = await asyncio.gather(*(hand.upload(path, film) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [204] * 4
        assert (await state(yard, job))[:3] == ("completed", 0, 1)
        assert [file.name for file in stored()] == ["1"]
        assert (await customer.retrieve(job)).headers["content-type"] == "video/mp4"

    async def test_whose_attempt_ends_meanwhile_leaves_nothing(
        self, customer, hand, film, yard, stored, monkeypatch
    ):
        job = await customer.queue()
        path = await hand.take()
        finish = attempt.finish

        async def late(*of):
            await hand.call("POST", f"{path}/hand-back")
            again = await hand.take()
            monkeypatch.setattr(attempt, "finish", finish)
            assert (await hand.upload(again, film)).status_code == 204
            left = await asyncio.to_thread(stored)
            assert sorted(file.name for file in left) == ["1", "2"]
            await finish(*of)

        monkeypatch.setattr(attempt, "finish", late)
        assert (await hand.upload(path, film)).status_code == 409
        assert [file.name for file in stored()] == ["2"]
        assert (await state(yard, job))[:3] == ("completed", 0, 2)

    async def test_repeated_after_its_video_was_deleted_leaves_nothing(
        self, customer, hand, film, stored, monkeypatch
    ):
        job = await customer.queue()
        path = await hand.take()
        finish = attempt.finish

        async def repeated(*of):
            monkeypatch.setattr(attempt, "finish", finish)
            assert (await hand.upload(path, film)).status_code == 204
            assert (await customer.post("complete", job)).status_code == 200
            await finish(*of)

        monkeypatch.setattr(attempt, "finish", repeated)
        assert (await hand.upload(path, film)).status_code == 204
        assert stored() == []

    async def test_that_breaks_off_changes_nothing(self, customer, hand, house, film, stored):
        job = await customer.queue()
        path = await hand.take()
        scope = {
            "type": "http",
            "method": "PUT",
            "path": f"/worker/v1{path}/result",
            "headers": [(b"authorization", f"Bearer {hand.token}".encode())],
            "query_string": b"",
        }
        messages = [
            {"type": "http.request", "body": film[:300_000], "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive():
            return messages.pop(0)

        async def send(message):
            raise AssertionError("nobody is there to be answered")

        await Application(house)(scope, receive, send)
        assert not messages
        assert not stored()
        assert await state(house.yard, job) == ("rendering", 0, 1, 50_000)
        assert (await hand.upload(path, film)).status_code == 204


class TestFailure:
    @pytest.mark.parametrize(
        ("kind", "counts"),
        [("crash", 3), ("deadline", 3), ("upstream", 3), ("out_of_memory", 2), ("bad_input", 1)],
    )
    async def test_is_final_after(self, customer, hand, yard, kind, counts):
        job = await customer.queue()
        for number in range(1, counts + 1):
            path = await hand.take()
            assert (await hand.fail(path, kind)).status_code == 204
            assert (await hand.fail(path, kind)).status_code == 409
            assert (await state(yard, job))[0] == ("failed" if number == counts else "queued")
        assert (await hand.claim()).status_code == 204

    async def test_refuses_an_unknown_kind(self, customer, hand):
        await customer.queue()
        assert (await hand.fail(await hand.take(), "boredom")).status_code == 400

    async def test_hand_back_is_no_strike(self, customer, hand, yard):
        job = await customer.queue()
        for number in range(1, 5):
            path = await hand.take()
            assert path.endswith(f"/{number}")
            await hand.call("POST", f"{path}/hand-back")
        assert (await state(yard, job))[:2] == ("queued", 0)

    @pytest.mark.parametrize("path", ["x/1", f"{UUID(int=1)}/x", f"{UUID(int=1)}/-1"])
    async def test_of_a_path_that_is_none(self, hand, path):
        assert (await hand.progress(f"/jobs/{path}")).status_code == 404

    async def test_of_a_number_beyond_all_use(self, hand):
        answer = await hand.progress(f"/jobs/{uuid4()}/{10**30}")
        assert answer.status_code in (404, 409)
