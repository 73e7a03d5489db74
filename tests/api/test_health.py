"""Health and metrics."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from psycopg import OperationalError

from squero.store.db import Database

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unblocked")]


@pytest.fixture
def away(monkeypatch):
    """Makes the database unreachable."""

    def leave():
        def gone(self):
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(Database, "reading", gone)
        monkeypatch.setattr(Database, "transaction", gone)

    return leave


class TestHealth:
    async def test_when_ready(self, http):
        answer = await http.get("/health")
        assert answer.status_code == 200
        workers = {"asked": 0, "own": 0}
        assert answer.json() == {"status": "ready", "database": "ok", "workers": workers}

    async def test_before_the_own_workers_have_asked(self, http, house, monkeypatch):
        monkeypatch.setattr(house.readiness, "own_workers", 1)
        answer = await http.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")
        monkeypatch.setattr(house.readiness, "asked", {"own 0"})
        assert (await http.get("/health")).status_code == 200

    async def test_while_the_server_stops(self, http, house, monkeypatch):
        monkeypatch.setattr(house.readiness, "stopping", True)
        answer = await http.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "stopping")

    async def test_while_the_database_is_away(self, http, away):
        away()
        answer = await http.get("/health")
        assert (answer.status_code, answer.json()["database"]) == (503, "unreachable")

    async def test_head(self, http):
        assert (await http.head("/health")).status_code == 200


class TestMetrics:
    async def test_count_jobs(self, http, customer, hand):
        await customer.queue()
        await customer.queue()
        await hand.take()
        text = (await http.get("/metrics")).text
        assert 'squero_jobs{lane="default",state="queued"} 1.0' in text
        assert 'squero_jobs{lane="default",state="rendering"} 1.0' in text

    async def test_while_the_database_is_away(self, http, customer, away):
        await customer.queue()
        away()
        answer = await http.get("/metrics")
        assert answer.status_code == 200
        assert "squero_jobs{" not in answer.text
        assert "squero_http_requests_total" in answer.text

    async def test_labels_are_templates(self, http, customer, hand):
        job = await customer.queue(prompt="a secret lagoon")
        await hand.progress(await hand.take())
        for path in ("/api/v1/secret", "/secret", f"/api/v1/video/{job['queue_id']}"):
            assert (await http.get(path)).status_code == 404
        assert (await http.get("/api/v1/video/queue?secret=1")).status_code == 405
        text = (await http.get("/metrics")).text
        labels = {
            value
            for family in families(text)
            if family.name.startswith("squero")
            for sample in family.samples
            for name, value in sample.labels.items()
            if name == "route"
        }
        assert {"none", "/api/v1/video/queue"} <= labels
        assert "/worker/v1/jobs/{queue_id:uuid}/{attempt:int}/progress" in labels
        assert "secret" not in text
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", text)

    async def test_content_type(self, http):
        answer = await http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
