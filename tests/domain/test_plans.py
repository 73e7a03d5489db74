"""The claim and its kin stay small behind a hundred thousand jobs of others."""

import json
import re
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql as text

from squero.store.statements import statement

from .conftest import TEXT

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
OTHER = "wan-2.5-preview-text-to-video"
MOST_PAGES = 250
MOST_PAGES_OF_AN_ACCOUNT = 15


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


def pages(plan):
    """How many pages it has looked at."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def scans(plan):
    """How it has read the jobs."""
    found = [node for node in nodes(plan) if node.get("Relation Name") == "generations"]
    return {node["Node Type"] for node in found}


def claim_of(worker):
    """What a claim asks."""
    return {
        "lane": "default",
        "warm": "{motion-text-to-video,none}",
        "account_id": None,
        "seq": None,
        "worker_id": str(worker.worker_id),
        "lease_seconds": 6,
    }


def choice_of(worker, model):
    """What a worker asks first that can render this model alone."""
    return {
        "lane": "default",
        "warm": "{motion-text-to-video,none}",
        "models": f"{{{model},none}}",
        "worker_id": str(worker.worker_id),
    }


async def test_behind_a_hundred_thousand(crowded, play, worker, database_url):
    row = await play.row(crowded)
    polled = {"queue_ids": f"{{{crowded}}}", "account_ids": f"{{{row['account_id']}}}"}
    claim = claim_of(worker)
    cases = [
        ("generations.claim", claim),
        ("generations.claim", claim | {"account_id": str(row["account_id"]), "seq": row["seq"]}),
        ("generations.choose", choice_of(worker, TEXT.model)),
        ("generations.poll", polled),
        ("generations.lost", {}),
        ("generations.timing", {"model": "m", "resolution": "480p", "frames": 120}),
        ("shares.waiting", {"lane": "default"}),
        ("generations.queue_many", {"jobs": json.dumps([asked(row)]), "queued_limit": 10_000}),
    ]
    for generic in (True, False):
        for name, values in cases:
            plan = await explained(database_url, name, generic, values)
            assert pages(plan) < MOST_PAGES, (name, generic, pages(plan))
            kinds = scans(plan)
            assert kinds <= {"Index Scan", "Index Only Scan", "ModifyTable"}, (name, generic, kinds)
            assert kinds or name == "shares.waiting"
    assert (await play.claim(worker)).queue_id == crowded


async def test_no_queue_of_others_work_is_read_through(crowded, play, worker, database_url, sql):
    """A hundred accounts that wait for what the worker cannot render, with one job that it can."""
    choice = choice_of(worker, OTHER)
    gone = {"models": "{motion-text-to-video}"}
    last = "SELECT queue_id FROM generations ORDER BY account_id DESC, seq DESC LIMIT 1"
    [row] = await sql(last)
    for model in (TEXT.model, OTHER):
        await sql("UPDATE generations SET model = %s WHERE queue_id = %s", model, row["queue_id"])
        for generic in (True, False):
            for name, values in (("generations.choose", choice), ("generations.gone", gone)):
                plan = await explained(database_url, name, generic, values)
                read = pages(plan) / 101
                assert read < MOST_PAGES_OF_AN_ACCOUNT, (name, model, generic, read)
                found = plan["Actual Rows"]
                assert found == (model == OTHER), (name, model, generic, found)
    claimed = await play.claim(worker, troubles=[TEXT.model])
    assert claimed.queue_id == row["queue_id"]
