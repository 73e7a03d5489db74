"""Health and metrics, for whoever keeps the server running."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg import Error as DatabaseError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from squero.api.house import House
from squero.metrics import JOBS


async def health(house: House, request: Request) -> Response:
    """GET /health: 200 once a job that is queued now will be rendered, 503 before and after."""
    readiness = house.readiness
    workers = {"asked": len(readiness.asked), "own": readiness.own_workers}
    database = "ok" if await _reachable(house) else "unreachable"
    ready = readiness.ready and database == "ok"
    status = "ready" if ready else "stopping" if readiness.stopping else "starting"
    body = {"status": status, "database": database, "workers": workers}
    return JSONResponse(body, 200 if ready else 503)


async def metrics(house: House, request: Request) -> Response:
    """GET /metrics, in Prometheus' text format; without the jobs while the database is away."""
    states: Sequence[dict[str, Any]] = ()
    with suppress(DatabaseError):
        async with house.yard.database.reading() as tx:
            states = await tx.all(dict, "generations.states")
    JOBS.clear()
    for state in states:
        JOBS.labels(state["lane"], state["state"]).set(state["count"])
    text = await to_thread.run_sync(generate_latest)  # it reads what the system says of us
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _reachable(house: House) -> bool:
    try:
        async with house.yard.database.reading() as tx:
            return bool(await tx.value("session.ping"))
    except DatabaseError:
        return False
