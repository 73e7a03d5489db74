"""How long a claim takes behind a queue of up to a million jobs, and whether that stays so.

Each figure stands beside that of an empty twin database whose claims were made in between, so that
what the machine does besides slows both.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from benchmarks.report import Report, percentile
from benchmarks.stage import Stage, Tenant, made_yard, make_tenant, make_worker
from squero.domain import attempt
from squero.domain.inputs import Sealing
from squero.domain.keys import Worker
from squero.domain.yard import Yard
from squero.media.sealed import seal

LANE = "default"
MODEL = "motion-text-to-video"
OTHER = "motion-instant-text-to-video"
ESTIMATE_US = 1_000_000
ROUND = 10
FLOOR_MS = 5.0
TIMES = 1.5

# Foreign keys and checks of a million rows are not what is measured, so they are loaded as a
# replica would load them, an account after another; the shares are made to agree with the rows.
_JOBS = """
INSERT INTO generations
    (queue_id, account_id, key_id, model, lane, resolution, width, height, frames, fps, audio,
     seed, prompt, inputs, key_day, wrapped_key, currency, price_micros, estimate_us,
     expected_wait_us, created_at)
SELECT gen_random_uuid(), ids[1 + n * cardinality(ids) / %(count)s::bigint], %(key_id)s,
    %(model)s,
    %(lane)s || CASE WHEN %(lanes)s = 0 THEN '' ELSE ' ' || n * %(lanes)s / %(count)s::bigint END,
    '720p', 1280, 720, 120, 24, true, n, %(prompt)s, %(inputs)s, %(day)s, %(wrapped)s, 'USD',
    100000, %(estimate_us)s, 0, now()
FROM generate_series(0, %(count)s::bigint - 1) AS n, (SELECT %(owners)s::uuid[] AS ids) AS o
"""
_SHARES = """
INSERT INTO shares (lane, account_id, weight, queued, waiting_us)
SELECT lane, account_id, 1, count(*), sum(estimate_us) FROM generations
WHERE state = 'queued' GROUP BY lane, account_id
ON CONFLICT (lane, account_id) DO UPDATE
SET queued = excluded.queued, waiting_us = excluded.waiting_us
"""
_REFILL = """
INSERT INTO shares AS s (lane, account_id, weight, queued, waiting_us)
VALUES (%(lane)s, %(owner)s, 1, %(count)s, %(waiting_us)s)
ON CONFLICT (lane, account_id) DO UPDATE
SET queued = s.queued + excluded.queued, waiting_us = s.waiting_us + excluded.waiting_us
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Whose jobs stand in the queue beside those of the account that is asked about."""

    name: str
    lanes: int
    """How many lanes of their own; 0: the very lane that is claimed from."""
    owners: int


CROWDS = (
    Crowd("1,000 accounts in 10 other lanes", 10, 1000),
    Crowd("1,000 accounts in the same lane", 0, 1000),
    Crowd("one account in the same lane", 0, 1),
)


@dataclass(frozen=True, slots=True)
class Queue:
    """A lane to claim from, and a connection that may load rows in bulk."""

    yard: Yard
    worker: Worker
    admin: AsyncConnection
    owner: UUID
    words: dict[str, object]

    async def load(self, crowd: Crowd, count: int) -> None:
        """Put that many jobs of a crowd into the queue."""
        owners = [UUID(int=number) for number in range(crowd.owners)]
        values = self.words | {"lanes": crowd.lanes, "count": count // 2, "owners": owners}
        async with await _admin(self.yard) as second:  # two connections load on two cores
            await asyncio.gather(*[one.execute(_JOBS, values) for one in (self.admin, second)])
        await self.admin.execute(_SHARES)

    async def refill(self, model: str) -> None:
        """A few jobs of the asked account in the asked lane."""
        values = self.words | {"lanes": 0, "count": ROUND, "owners": [self.owner], "model": model}
        waiting = {"owner": self.owner, "waiting_us": ROUND * ESTIMATE_US}
        await self.admin.execute(_JOBS, values)
        await self.admin.execute(_REFILL, values | waiting)

    async def round(self, troubles: Sequence[str] = ()) -> list[float]:
        """The milliseconds of some claims, each of whose jobs is finished before the next."""
        times = []
        await self.refill(OTHER if troubles else MODEL)
        for _ in range(ROUND):
            began = time.perf_counter()
            assignment = await attempt.claim(self.yard, self.worker, (), troubles)
            times.append(1000 * (time.perf_counter() - began))
            assert assignment is not None
            job = assignment.claimed
            await attempt.finish(self.yard, self.worker, job.queue_id, job.attempt)
        return times

    async def clear(self) -> None:
        """Empty the queue, with statistics and plans as they are after a start."""
        await self.admin.execute("TRUNCATE generations, shares, lanes")
        await self.analyse()

    async def analyse(self) -> None:
        """What autovacuum, which is off here, does within a minute or two."""
        await self.admin.execute("ANALYZE generations, shares, lanes")


@dataclass(frozen=True, slots=True)
class Pair:
    """p99 of a long queue and of the empty one, in ms."""

    long: float
    empty: float

    @property
    def passes(self) -> bool:
        """Whether the long queue's is no worse than it may be."""
        return self.long <= max(TIMES * self.empty, FLOOR_MS)


async def run(stage: Stage) -> Report:
    """p50 and p99 of `attempt.claim` by crowd and size, before and after ANALYZE."""
    report = Report(
        "claim: one after another, each job finished before the next",
        ("queued beside it", "jobs", "p50 ms", "p99 ms", "p50 / empty", "p99 / empty"),
    )
    async with _queue(stage, "claim_long") as long, _queue(stage, "claim_empty") as empty:
        bench = Bench(stage, report, long, empty)
        await bench.compare("nothing", 0, stage.pick(500, 10))
        for crowd in CROWDS:
            await bench.crowd(crowd)
        await bench.endure()
        await bench.pass_over()
    report.notes += [
        "`empty` is a twin database whose claims were made in between, with nothing beside them.",
        "`never analysed`: on statistics and prepared plans from when the queue was empty.",
    ]
    return report


@dataclass(frozen=True, slots=True)
class Bench:
    """Two queues that take turns, and the report on them."""

    stage: Stage
    report: Report
    long: Queue
    empty: Queue

    async def crowd(self, crowd: Crowd) -> None:
        """Measure beside this crowd as it grows."""
        claims = self.stage.pick(500, 10)
        smaller, larger = self.stage.pick(100_000, 200), self.stage.pick(1_000_000, 400)
        await self.long.clear()
        await self._turns(ROUND)  # plans for an empty queue are made and kept
        await self.long.load(crowd, smaller)
        await self.compare(crowd.name, smaller, claims)
        await self.long.load(crowd, larger - smaller)
        unknown = await self.compare(f"{crowd.name}, never analysed", larger, claims)
        await self.long.analyse()
        known = await self.compare(crowd.name, larger, claims)
        for pair, when in ((unknown, " never analysed"), (known, "")):
            goal = f"{crowd.name},{when} {larger:,}: p99 {pair.long:.2f} ms"
            limit = f"is at most max({TIMES} x {pair.empty:.2f}, {FLOOR_MS:g}) ms"
            self.report.judge(f"{goal} {limit}", passed=pair.passes)

    async def endure(self) -> None:
        """Thousands of claims in a row on the last crowd: dead rows must not slow the next ones."""
        quarter = self.stage.pick(1000, 10)
        first = await self.compare("the same, then 1st quarter of a long run", quarter, quarter)
        await self._turns(2 * quarter)
        last = await self.compare("the same, 4th quarter of it", quarter, quarter)
        goal = f"after {4 * quarter:,} claims p99 / empty is {last.long / last.empty:.2f}"
        at_first = f"at first {first.long / first.empty:.2f}"
        self.report.judge(f"{goal}, {at_first}: as above", passed=last.passes)

    async def pass_over(self) -> None:
        """A worker that cannot render what a crowd waits for: the crowd counts, not its queues."""
        name, claims = "1,000 accounts' that the worker cannot render", self.stage.pick(200, 10)
        smaller, larger = self.stage.pick(10_000, 200), self.stage.pick(200_000, 400)
        await self.long.clear()
        pairs, loaded = [], 0
        for jobs in (smaller, larger):
            await self.long.load(CROWDS[1], jobs - loaded)
            await self.long.analyse()
            pairs.append(await self.compare(name, jobs, claims, [MODEL]))
            loaded = jobs
        few, many = (pair.long for pair in pairs)
        goal = f"{name}, {larger:,}: p99 {many:.2f} ms"
        passed = many <= max(TIMES * few, FLOOR_MS)
        limit = f"is at most max({TIMES} x {few:.2f} of {smaller:,}, {FLOOR_MS:g}) ms"
        self.report.judge(f"{goal} {limit}", passed=passed)

    async def compare(
        self, name: str, jobs: int, claims: int, troubles: Sequence[str] = ()
    ) -> Pair:
        """Add a row for so many claims of each."""
        long, empty = await self._turns(claims, troubles)
        middle, high = percentile(long, 0.5), percentile(long, 0.99)
        pair = Pair(high, percentile(empty, 0.99))
        ratios = middle / percentile(empty, 0.5), high / pair.empty
        self.report.add(name, jobs, middle, high, *ratios)
        return pair

    async def _turns(
        self, claims: int, troubles: Sequence[str] = ()
    ) -> tuple[list[float], list[float]]:
        long, empty = [], []
        for _ in range(claims // ROUND):
            long += await self.long.round(troubles)
            empty += await self.empty.round(troubles)
        return long, empty


@asynccontextmanager
async def _queue(stage: Stage, name: str) -> AsyncIterator[Queue]:
    async with made_yard(stage, name) as yard, await _admin(yard) as admin:
        tenant = await make_tenant(yard)
        worker = await make_worker(yard, LANE)
        queue = Queue(yard, worker, admin, tenant.caller.account_id, _words(yard, tenant))
        for _ in range(3):
            await queue.round()  # warms the pool and its prepared statements
        yield queue


def _words(yard: Yard, tenant: Tenant) -> dict[str, object]:
    """What every bulk row holds; one generation key for all, so that any of them opens."""
    day, generation_key = tenant.caller.today, bytes(32)
    sealing = Sealing(uuid4(), generation_key)
    return {
        "key_id": tenant.caller.key_id,
        "lane": LANE,
        "model": MODEL,
        "estimate_us": ESTIMATE_US,
        "prompt": seal(sealing.key("prompt"), b'{"prompt": "a lagoon", "negative_prompt": ""}'),
        "inputs": Jsonb({}),
        "day": day,
        "wrapped": yard.keyring.wrap(generation_key, day),
    }


async def _admin(yard: Yard) -> AsyncConnection:
    url = make_conninfo(yard.database.url, user="postgres")
    connection = await AsyncConnection.connect(url, autocommit=True)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("ALTER TABLE generations SET (autovacuum_enabled = false)")
    await connection.execute("ALTER TABLE shares SET (autovacuum_enabled = false)")
    return connection
