"""The claim and its kin stay small behind a hundred thousand jobs of others."""

import json
import re
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql as text

from squero.store.statements import statement

pytestmark = pytest.mark.anyio

LANE_OF_OTHERS = """
INSERT INTO accounts (name, billing) SELECT 'a' || n, 'unmetered' FROM generate_series(1, 100) n;
INSERT INTO shares (lane, account_id, weight, queued, waiting_us, virtual_us)
    SELECT 'default', id, 1, 1000, 2000000000, 1000 FROM accounts WHERE name ~ '^a[0-9]';
CREATE TABLE others AS SELECT id, row_number() OVER () AS number FROM accounts
    WHERE name ~ '^a[0-9]';
"""
FILL = """
INSERT INTO generations (queue_id, account_id, {columns})
SELECT gen_random_uuid(), others.id, {columns} FROM generations CROSS JOIN others
CROSS JOIN generate_series(1, 1000) WHERE queue_id = %(queue_id)s
"""
MOST_PAGES = 250


def nodes(plan):
    """Every node of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def explained(url, name, generic, values):
    """The plan of a statement that was run and rolled back."""
    names = list(values)
    body = re.sub(r"%\((\w+)\)s", lambda m: f"${names.index(m[1]) + 1}", statement(name))
    literals = text.SQL(", ").join(text.Literal(value) for value in values.values())
    call = text.SQL("claim({})").format(literals) if values else text.SQL("claim")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await connection.execute(f"SET plan_cache_mode = {mode}")
        await connection.execute(f"PREPARE claim AS {body}")
        explain = text.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {}").format(call)
        (found,) = await (await connection.execute(explain)).fetchone()
        await connection.rollback()
    return found[0]["Plan"]


@pytest.fixture
async def crowded(play, sql, database_url, open_tenant):
    """A tenant's only job behind a hundred thousand of a hundred others."""
    tenant = await open_tenant()
    queue_id = await play.queue(tenant)
    row = await play.row(queue_id)
    columns = ", ".join(name for name in row if name not in ("queue_id", "seq", "account_id"))
    for part in LANE_OF_OTHERS.split(";")[:-1]:
        await sql(part)
    await sql(FILL.format(columns=columns), queue_id=queue_id)
    await sql("DROP TABLE others")
    await sql("VACUUM ANALYZE")
    return queue_id


def asked(row):
    """The same job once more, as the intake asks for it."""
    names = ("account_id", "key_id", "model", "lane", "resolution", "width", "height", "frames")
    names += ("fps", "audio", "seed", "inputs", "key_day", "price_micros", "estimate_us")
    job = {name: row[name] for name in (*names, "expected_wait_us")}
    return json.loads(json.dumps(job | {"queue_id": uuid4()}, default=str))


async def test_behind_a_hundred_thousand(crowded, play, worker, database_url):
    row = await play.row(crowded)
    polled = {"queue_ids": f"{{{crowded}}}", "account_ids": f"{{{row['account_id']}}}"}
    claim = {
        "lane": "default",
        "warm": "{motion-text-to-video,none}",
        "models": None,
        "worker_id": str(worker.worker_id),
        "lease_seconds": 6,
    }
    cases = [
        ("generations.claim", claim),
        ("generations.claim", claim | {"models": "{motion-text-to-video,none}"}),
        ("generations.poll", polled),
        ("generations.lost", {}),
        ("generations.timing", {"model": "m", "resolution": "480p", "frames": 120}),
        ("shares.waiting", {"lane": "default"}),
        ("generations.queue_many", {"jobs": json.dumps([asked(row)]), "queued_limit": 10_000}),
    ]
    for generic in (True, False):
        for name, values in cases:
            plan = await explained(database_url, name, generic, values)
            pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            assert pages < MOST_PAGES, (name, generic, pages)
            scans = [node for node in nodes(plan) if node.get("Relation Name") == "generations"]
            kinds = {node["Node Type"] for node in scans} - {"ModifyTable"}
            assert kinds <= {"Index Scan", "Index Only Scan"}, (name, generic, kinds)
            assert scans or name == "shares.waiting"
    assert (await play.claim(worker)).queue_id == crowded
