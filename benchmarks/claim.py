"""How long a claim takes behind a queue of up to a million jobs, and whether that stays so."""

import time
from collections.abc import Sequence
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
SELECT gen_random_uuid(), o.ids[1 + (n - 1) * cardinality(o.ids) / %(count)s::bigint], %(key_id)s, 'motion-text-to-video',
    %(lane)s || CASE WHEN %(lanes)s = 0 THEN '' ELSE ' ' || (n - 1) * %(lanes)s / %(count)s::bigint END,
    '720p', 1280, 720, 120, 24, true, n, %(prompt)s, %(inputs)s, %(day)s, %(wrapped)s, 'USD',
    100000, %(estimate_us)s, 0, now()
FROM generate_series(1, %(count)s::bigint) AS n, (SELECT %(owners)s::uuid[] AS ids) AS o
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
class Bench:
    """A yard, and a connection that may load rows in bulk."""

    yard: Yard
    worker: Worker
    admin: AsyncConnection
    tenant: Tenant
    words: dict[str, object]

    async def load(self, crowd: Crowd, count: int) -> None:
        """Put that many jobs of a crowd into the queue."""
        owners = [uuid4() for _ in range(crowd.owners)]
        if crowd.owners == 1:
            owners = [UUID(int=1)]
        values = self.words | {"lanes": crowd.lanes, "count": count, "owners": owners}
        await self.admin.execute(_JOBS, values)
        await self.admin.execute(_SHARES)

    async def refill(self) -> None:
        """A few jobs of the asked account in the asked lane."""
        owner = self.tenant.caller.account_id
        values = self.words | {"lanes": 0, "count": ROUND, "owners": [owner]}
        waiting = {"owner": owner, "waiting_us": ROUND * ESTIMATE_US}
        await self.admin.execute(_JOBS, values)
        await self.admin.execute(_REFILL, values | waiting)

    async def times(self, claims: int) -> list[float]:
        """The milliseconds of each of so many claims, every one of them finished afterwards."""
        times = []
        for _ in range(claims // ROUND):
            await self.refill()
            for _ in range(ROUND):
                began = time.perf_counter()
                assignment = await attempt.claim(self.yard, self.worker, UUID(int=1), ())
                times.append(1000 * (time.perf_counter() - began))
                assert assignment is not None
                job = assignment.claimed
                await attempt.finish(self.yard, self.worker, job.queue_id, job.attempt, 1)
        return times

    async def clear(self) -> None:
        """Empty the queue, with statistics and plans as they are after a start."""
        await self.admin.execute("TRUNCATE generations, shares")
        await self.admin.execute("ANALYZE generations, shares")


async def run(stage: Stage) -> Report:
    """p50 and p99 of `attempt.claim` by crowd and size, before and after ANALYZE."""
    report = Report(
        "claim: one claim after another, each job finished before the next",
        ("queued beside it", "jobs", "p50 ms", "p99 ms", "p99 / empty"),
    )
    async with made_yard(stage, "claim") as yard, await _admin(yard) as admin:
        tenant = await make_tenant(yard)
        worker = await make_worker(yard, LANE)
        bench = Bench(yard, worker, admin, tenant, _words(yard, tenant))
        claims = stage.pick(500, 20)
        await bench.times(claims)  # warms the pool and its prepared statements
        empty = _add(report, "nothing", 0, await bench.times(claims), None)
        for crowd in CROWDS:
            await _measure(stage, report, bench, crowd, empty)
        await _measure_long(stage, report, bench, empty)
    return report


async def _measure(stage: Stage, report: Report, bench: Bench, crowd: Crowd, empty: float) -> None:
    claims = stage.pick(500, 20)
    smaller, larger = stage.pick(100_000, 200), stage.pick(1_000_000, 400)
    await bench.load(crowd, smaller)
    _add(report, crowd.name, smaller, await bench.times(claims), empty)
    await bench.load(crowd, larger - smaller)
    name = f"{crowd.name}, never analysed"
    unknown = _add(report, name, larger, await bench.times(claims), empty)
    await bench.admin.execute("ANALYZE generations, shares")
    known = _add(report, crowd.name, larger, await bench.times(claims), empty)
    _judge(report, crowd.name, max(unknown, known), empty)
    if crowd is not CROWDS[-1]:
        await bench.clear()


async def _measure_long(stage: Stage, report: Report, bench: Bench, empty: float) -> None:
    """Thousands of claims in a row on the last crowd: dead rows must not slow the next ones."""
    times = await bench.times(stage.pick(4000, 80))
    quarter = len(times) // 4
    first = _add(report, "the same, first quarter of a long run", quarter, times[:quarter], empty)
    last = _add(report, "the same, last quarter of it", quarter, times[-quarter:], empty)
    goal = f"after {len(times):,} claims and finishes p99 is {last:.2f} ms, at first {first:.2f} ms"
    report.judge(f"{goal} (at most {TIMES} times, or {FLOOR_MS:g} ms)", passed=_flat(last, first))


def _judge(report: Report, name: str, found: float, empty: float) -> None:
    goal = f"{name}: p99 {found:.2f} ms is at most max({TIMES} x {empty:.2f}, {FLOOR_MS:g}) ms"
    report.judge(goal, passed=_flat(found, empty))


def _flat(found: float, before: float) -> bool:
    return found <= max(TIMES * before, FLOOR_MS)


def _add(
    report: Report, name: str, jobs: int, times: Sequence[float], empty: float | None
) -> float:
    middle, high = percentile(times, 0.5), percentile(times, 0.99)
    report.add(name, jobs, middle, high, high / (empty or high))
    return high


def _words(yard: Yard, tenant: Tenant) -> dict[str, object]:
    """What every bulk row holds; one generation key for all, so that any of them opens."""
    day, generation_key = tenant.caller.today, bytes(32)
    sealing = Sealing(uuid4(), generation_key)
    return {
        "key_id": tenant.caller.key_id,
        "lane": LANE,
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
