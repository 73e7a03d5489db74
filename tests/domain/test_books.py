"""The books under whatever may happen, against a small model of them.

Hypothesis drives the verbs in sequences of its own invention and compares after every step. As many
sequences as SQUERO_BOOKS says (`make soak`: 10,000).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from squero.app import open_yard
from squero.domain import accounts, attempt, generation, keys, ledger, unfinished
from squero.domain.attempt import Claimed
from squero.domain.keys import Caller, Worker
from squero.domain.video_request import VideoRequest
from squero.domain.yard import Yard
from squero.errors import (
    AuthenticationFailed,
    InsufficientBalance,
    Refused,
    SpendLimitExceeded,
    StaleAttempt,
)
from squero.settings import Settings
from squero.store.db import Database, Tx

pytestmark = pytest.mark.books

SEQUENCES = int(os.environ.get("SQUERO_BOOKS", "500"))
STEPS = 30
LEAST_DIEM = 100_000
PRICES = {
    ("5s", "480p"): 50_000,
    ("10s", "480p"): 100_000,
    ("10s", "720p"): 200_000,
    ("10s", "1080p"): 400_000,
}
SHOTS = st.sampled_from(sorted(PRICES))
MICROS = st.sampled_from([0, 50_000, 99_999, 100_000, 250_000, 1_000_000])
LIMITS = st.none() | MICROS
WHICH = st.integers(0, 1)
PERIODS = st.sampled_from(["EPOCH", "MONTH", "LIFETIME"])
ORDER = ("DIEM", "BUNDLED_CREDITS", "USD")


class Crash(Exception):
    """The process died here."""


@contextmanager
def dying() -> Iterator[None]:
    """Within, every transaction ends before its commit."""
    transaction = Database.transaction

    @asynccontextmanager
    async def die(database: Database) -> AsyncIterator[Tx]:
        async with transaction(database) as tx:
            yield tx
            raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "transaction", die)
        yield


@dataclass
class Key:
    """A key as the model knows it."""

    caller: Caller
    period: str = "EPOCH"
    limits: dict[str, int | None] = field(default_factory=lambda: {"USD": None, "DIEM": None})
    revoked: bool = False


@dataclass
class Job:
    """A job as the model knows it."""

    queue_id: UUID
    key: Key
    price: int
    currency: str
    day: date
    """The epoch of its hold."""
    state: str = "queued"
    strikes: int = 0
    lost: int = 0
    claimed: Claimed | None = None

    @property
    def group(self) -> str:
        return "DIEM" if self.currency == "DIEM" else "USD"


class Books(RuleBasedStateMachine):
    """An account, its two keys and its jobs: the database's, and the model's."""

    yard: Yard
    runner: asyncio.Runner
    worker: Worker
    connection: psycopg.Connection

    def run(self, verb: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await verb

        return self.runner.run(wait())

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(text, values)
        return cursor.fetchall() if cursor.description else []

    @initialize(
        billing=st.sampled_from(["prepaid", "postpaid", "unmetered"]), usd=MICROS, diem=MICROS
    )
    def open(self, billing: str, usd: int, diem: int) -> None:
        self.sql("UPDATE clock SET shift = '0'")
        # Leases were looked at in what is the future now.
        self.sql("UPDATE watch SET looked_at = '-infinity', quiet_until = '-infinity'")
        left = "SELECT account_id, queue_id FROM generations WHERE state IN ('queued', 'rendering')"
        for account_id, queue_id in self.sql(left):  # of a sequence that failed
            self.run(generation.cancel(self.yard, account_id, queue_id))
        self.yard.admission.reset()  # nobody asks for work here while the sequences go on
        self.billing, self.jobs, self.finished = billing, [], []
        self.lapsed = 0
        self.diem, self.purses, self.begun = diem, {"USD": usd, "BUNDLED_CREDITS": 0}, {}
        self.held: dict[tuple[str, date | None], int] = {}
        if billing == "unmetered":
            self.purses["USD"] = 0
        self.keys = [Key(caller) for caller in self.run(self._open(billing, usd, diem))]
        self._read_day()

    async def _open(self, billing: str, usd: int, diem: int) -> list[Caller]:
        async with self.yard.database.transaction() as tx:
            line = usd if billing == "postpaid" else 0
            account = await accounts.open_new(tx, f"books-{uuid4()}", billing, line)
            if billing == "prepaid" and usd:
                await accounts.top_up(tx, account, usd)
            await accounts.set_diem(tx, account, diem)
            texts = [
                (await keys.create(tx, self.yard.keyring, account.id, "INFERENCE", ""))[1]
                for _ in range(2)
            ]
        self.account = account
        callers = keys.Callers(self.yard.database, self.yard.keyring)
        return [await callers.find(text) for text in texts]

    def _read_day(self) -> None:
        [(self.today,)] = self.sql("SELECT squero_today()")

    # What is asked for.

    @rule(which=WHICH, shot=SHOTS, named=st.booleans())
    def queue(self, which: int, shot: tuple[str, str], named: bool) -> None:
        key, price = self.keys[which], PRICES[shot]
        name = uuid4().hex if named else None
        self._expect(key, price, lambda: self._queue(key, shot, name))

    @rule(which=WHICH, shot=SHOTS)
    def queue_and_lose_the_answer(self, which: int, shot: tuple[str, str]) -> None:
        """The process dies after the commit; the client sends the same again."""
        key, price, name = self.keys[which], PRICES[shot], uuid4().hex

        def twice() -> UUID:
            first = self._queue(key, shot, name)
            assert self._queue(key, shot, name) == first
            return first

        self._expect(key, price, twice)

    @rule(which=WHICH, shot=SHOTS)
    def die_while_queueing(self, which: int, shot: tuple[str, str]) -> None:
        self._begin(self.keys[which])
        with dying(), pytest.raises((Crash, Refused)):
            self._queue(self.keys[which], shot, uuid4().hex)

    def _queue(self, key: Key, shot: tuple[str, str], name: str | None) -> UUID:
        asked = VideoRequest("motion-text-to-video", "a lagoon", shot[0], resolution=shot[1])
        caller = replace(key.caller, today=self.today)
        queued: UUID = self.run(generation.queue(self.yard, caller, asked, name)).queue_id
        return queued

    def _expect(self, key: Key, price: int, verb: Callable[[], UUID]) -> None:
        if key.revoked:
            with pytest.raises(AuthenticationFailed):
                verb()
            return
        self._begin(key)
        covering = [one for one in ORDER if self._covers(one, price)]
        allowed = [one for one in covering if self._allows(key, one, price)]
        if allowed:
            self._hold(Job(verb(), key, price, allowed[0], self.today))
        elif covering:
            currency = "DIEM" if covering == ["DIEM"] else "USD"
            with pytest.raises(SpendLimitExceeded, match=f"key {currency} spend"):
                verb()
        else:
            with pytest.raises(InsufficientBalance):
                verb()

    def _begin(self, key: Key) -> None:
        """The epoch begins with the first call that may be made, whatever becomes of the call."""
        if self.diem and not key.revoked:
            self.begun.setdefault(self.today, self.diem)

    def _covers(self, currency: str, price: int) -> bool:
        if self.billing == "unmetered":
            return currency == "USD"
        if currency == "DIEM":
            return self.begun.get(self.today, 0) >= max(price, LEAST_DIEM)
        return self.purses[currency] >= price

    def _allows(self, key: Key, currency: str, price: int) -> bool:
        group = "DIEM" if currency == "DIEM" else "USD"
        limit = key.limits[group]
        return limit is None or self._spent(key, group, key.period) + price <= limit

    def _spent(self, key: Key, group: str, period: str) -> int:
        return sum(
            job.price
            for job in [*self.jobs, *self.finished]
            if job.key is key and job.group == group and self._counts(job.day, period)
        )

    def _counts(self, day: date, period: str) -> bool:
        if period == "MONTH":
            return (day.year, day.month) == (self.today.year, self.today.month)
        return period == "LIFETIME" or day == self.today

    def _hold(self, job: Job) -> None:
        self.jobs.append(job)
        self._move(job, -job.price, job.price)

    def _move(self, job: Job, available: int, held: int) -> None:
        place = (job.currency, job.day if job.currency == "DIEM" else None)
        self.held[place] = self.held.get(place, 0) + held
        if self.billing == "unmetered":
            return
        if job.currency == "DIEM":
            self.begun[job.day] += available
        else:
            self.purses[job.currency] += available

    # What becomes of it.

    @rule()
    def claim(self) -> None:
        claimed = self.run(attempt.claim(self.yard, self.worker, ()))
        waiting = [job for job in self.jobs if job.state == "queued"]
        assert (claimed is not None) == bool(waiting)
        if claimed is not None:
            [job] = [one for one in waiting if one.queue_id == claimed.claimed.queue_id]
            job.state, job.claimed = "rendering", claimed.claimed

    def _rendering(self) -> list[Job]:
        return [job for job in self.jobs if job.state == "rendering"]

    @precondition(lambda self: self._rendering())
    @rule(data=st.data(), again=st.booleans())
    def finish(self, data: st.DataObject, again: bool) -> None:
        job = data.draw(st.sampled_from(self._rendering()))
        self._report(attempt.finish, job)
        self.jobs.remove(job)
        self.finished.append(job)
        self._move(job, 0, -job.price)
        if again:
            with pytest.raises(StaleAttempt):
                self._report(attempt.finish, job)

    @precondition(lambda self: self._rendering())
    @rule(data=st.data(), kind=st.sampled_from(["bad_input", "crash"]), again=st.booleans())
    def fail(self, data: st.DataObject, kind: str, again: bool) -> None:
        job = data.draw(st.sampled_from(self._rendering()))
        self._report(attempt.fail, job, kind, None)
        job.strikes += kind == "crash"
        self._back(job, over=kind == "bad_input" or job.strikes == 3)
        if again:
            with pytest.raises(StaleAttempt):
                self._report(attempt.fail, job, kind, None)

    @precondition(lambda self: self._rendering())
    @rule(data=st.data())
    def die_while_finishing(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self._rendering()))
        with dying(), pytest.raises(Crash):
            self._report(attempt.finish, job)

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def report_late(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.finished))
        for verb, words in ((attempt.finish, ()), (attempt.fail, ("bad_input", None))):
            with pytest.raises(StaleAttempt):
                self._report(verb, job, *words)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        for expected in (True, False):
            verb = generation.cancel(self.yard, self.account.id, job.queue_id)
            assert self.run(verb) is expected
        self._back(job, over=True)

    @rule()
    def lose_the_workers(self) -> None:
        seconds = self.yard.settings.lease_seconds
        # The first look after a silence only begins to listen, for one lease length.
        for pause in (seconds + 1, *[1] * (seconds + 1)):
            self._pass(seconds=pause)
            self.run(unfinished.reap(self.yard))
        for job in self._rendering():
            job.lost += 1
            self._back(job, over=job.lost == 10)

    def _report(self, verb: Any, job: Job, *words: object) -> None:
        assert job.claimed is not None
        self.run(verb(self.yard, self.worker, job.queue_id, job.claimed.attempt, *words))

    def _back(self, job: Job, *, over: bool) -> None:
        job.state = "queued"
        if over:
            self.jobs.remove(job)
            lapsed = job.currency == "DIEM" and job.day < self.today
            self.lapsed += job.price if lapsed else 0
            self._move(job, 0 if lapsed else job.price, -job.price)

    # What changes meanwhile.

    @precondition(lambda self: self.billing != "unmetered")
    @rule(micros=MICROS.filter(bool), currency=st.sampled_from(["USD", "BUNDLED_CREDITS"]))
    def top_up(self, micros: int, currency: ledger.Currency) -> None:
        async def add() -> None:
            async with self.yard.database.transaction() as tx:
                await accounts.top_up(tx, self.account, micros, currency)

        self.run(add())
        self.purses[currency] += micros

    @rule(
        which=WHICH, usd=LIMITS, diem=LIMITS, period=st.sampled_from(["EPOCH", "MONTH", "LIFETIME"])
    )
    def limit(self, which: int, usd: int | None, diem: int | None, period: str) -> None:
        key = self.keys[which]
        self.sql(
            "UPDATE keys SET usd_limit_micros = %s, diem_limit_micros = %s, limit_period = %s"
            " WHERE id = %s",
            *(usd, diem, period, key.caller.key_id),
        )
        key.limits, key.period = {"USD": usd, "DIEM": diem}, period

    @rule()
    def revoke(self) -> None:
        key = self.keys[1]
        self.sql("UPDATE keys SET revoked_at = now() WHERE id = %s", key.caller.key_id)
        key.revoked = True

    @rule(days=st.sampled_from([1, 1, 1, 31]))
    def begin_a_day(self, days: int) -> None:
        self._pass(seconds=86_400 * days)

    def _pass(self, *, seconds: float) -> None:
        self.sql("UPDATE clock SET shift = shift + make_interval(secs => %s)", seconds)
        self._read_day()

    # What must hold.

    @invariant()
    def balances_are_the_models(self) -> None:
        if not hasattr(self, "account"):
            return
        rows = self.sql(
            "SELECT currency, nullif(epoch, 'epoch'), available_micros, held_micros"
            " FROM balances WHERE account_id = %s",
            self.account.id,
        )
        found = {(currency, epoch): (free, held) for currency, epoch, free, held in rows}
        free = {(name, None): micros for name, micros in self.purses.items()}
        free |= {("DIEM", day): micros for day, micros in self.begun.items()}
        expected = {place: (micros, self.held.get(place, 0)) for place, micros in free.items()}
        empty = {place for place, sums in expected.items() if sums == (0, 0)} - found.keys()
        assert found == {place: expected[place] for place in expected.keys() - empty}
        assert all(min(sums) >= 0 for sums in found.values())

    @invariant()
    def keys_are_within_their_limits(self) -> None:
        for key in getattr(self, "keys", ()):
            rows = self.sql(
                "SELECT currency, period, squero_spent(s, period) FROM spending s,"
                " unnest('{EPOCH,MONTH,LIFETIME}'::text[]) AS period WHERE key_id = %s",
                key.caller.key_id,
            )
            for currency, period, micros in rows:
                assert micros == self._spent(key, currency, period), (currency, period)

    def teardown(self) -> None:
        if not hasattr(self, "account"):
            return
        for job in list(self.jobs):
            self.run(generation.cancel(self.yard, self.account.id, job.queue_id))
            self._back(job, over=True)
        odd = self.sql(
            "SELECT queue_id, holds, settled FROM ("
            " SELECT queue_id FROM generations WHERE account_id = %s) AS jobs"
            " FULL JOIN ("
            " SELECT queue_id, count(*) FILTER (WHERE to_book = 'held') AS holds,"
            " count(*) FILTER (WHERE from_book = 'held') AS settled"
            " FROM transfers WHERE account_id = %s AND 'held' IN (from_book, to_book)"
            " GROUP BY queue_id) AS moved USING (queue_id)"
            " WHERE (holds, settled) IS DISTINCT FROM (1, 1)",
            *(self.account.id, self.account.id),
        )
        assert odd == [], "every job has one hold, which is resolved once"
        books = self.sql(
            "SELECT book, sum(micros)::bigint FROM ("
            " SELECT to_book AS book, amount_micros AS micros FROM transfers WHERE account_id = %s"
            " UNION ALL"
            " SELECT from_book, -amount_micros FROM transfers WHERE account_id = %s) AS entries"
            " GROUP BY book",
            *(self.account.id, self.account.id),
        )
        sums = dict(books)
        assert sum(sums.values()) == 0
        assert sums.get("held", 0) == 0
        assert sums.get("revenue", 0) == sum(job.price for job in self.finished)
        assert sums.get("lapsed", 0) == self.lapsed
        free = sum(self.purses.values()) + sum(self.begun.values())
        assert sums.get("available", 0) == free


@pytest.mark.timeout(max(600, SEQUENCES))
def test_books_are_the_models(database_url: str, tmp_path: Path) -> None:
    class Here(Books):
        pass

    async def hire(yard: Yard) -> Worker:
        async with yard.database.transaction() as tx:
            worker_id, _ = await keys.create_worker(tx, yard.keyring, "w", "default")
        return Worker(worker_id, "default", own=False, name="w")

    stack = AsyncExitStack()
    with (
        asyncio.Runner() as Here.runner,
        psycopg.connect(database_url, autocommit=True) as Here.connection,
    ):
        opening = open_yard(Settings(home=tmp_path), database_url)
        Here.yard = Here.runner.run(stack.enter_async_context(opening))
        try:
            Here.worker = Here.runner.run(hire(Here.yard))
            run_state_machine_as_test(
                Here,
                settings=settings(
                    max_examples=SEQUENCES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            Here.runner.run(stack.aclose())
