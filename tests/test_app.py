"""The application as a whole: errors, headers, an absent database, browsers, a blocked loop."""

import gc
import time
import weakref

import psycopg
import pytest
import structlog
from blockbuster import blockbuster_ctx
from starlette.requests import ClientDisconnect

from squero.api.house import House
from squero.app import Application
from squero.domain import generation

pytestmark = pytest.mark.anyio

ASKED = {"model": "motion-text-to-video", "prompt": "a secret lagoon", "duration": "5s"}


@pytest.fixture
def house(cleared: House) -> House:
    return cleared


@pytest.fixture
def yard(house: House):
    return house.yard


class TestErrors:
    @pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/", "/api/v1/models/", "/api/v2/x"])
    async def test_unknown_path(self, http, path):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("GET", "/api/v1/video/quote", {"POST"}),
            ("HEAD", "/api/v1/video/retrieve", {"POST"}),
            ("DELETE", "/api/v1/models", {"GET", "HEAD"}),
            ("POST", "/health", {"GET", "HEAD"}),
        ],
    )
    async def test_other_method(self, http, method, path, allow):
        answer = await http.request(method, path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allow
        assert method == "HEAD" or answer.json() == {"error": "Method not allowed"}

    async def test_unexpected(self, http, monkeypatch):
        def fail(*_):
            raise RuntimeError("a secret lagoon")

        monkeypatch.setattr(generation, "quote", fail)
        with structlog.testing.capture_logs() as logs:
            answer = await http.post("/api/v1/video/quote", json=ASKED)
        assert answer.status_code == 500
        assert answer.json() == {"error": "An unknown error occurred"}
        assert answer.headers["cf-ray"]
        (entry,) = [one for one in logs if one["event"] == "unexpected error"]
        assert entry["error"] == "RuntimeError"
        assert "test_app.py" in entry["at"]
        assert "secret" not in str(logs)

    async def test_after_the_answer_has_begun(self, house, monkeypatch):
        async def broken(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("a secret lagoon")

        application, sent = Application(house), []
        monkeypatch.setattr(application, "_routes", broken)

        async def send(message):
            sent.append(message["type"])

        with structlog.testing.capture_logs() as logs:
            await application(scope_of("/api/v1/models"), None, send)
        assert sent == ["http.response.start"]
        assert "secret" not in str(logs)

    async def test_a_client_that_leaves_is_no_error(self, house, monkeypatch):
        async def gone(scope, receive, send):
            raise ClientDisconnect

        application = Application(house)
        monkeypatch.setattr(application, "_routes", gone)
        with structlog.testing.capture_logs() as logs:
            await application(scope_of("/"), None, None)
        assert logs == []


class TestHeaders:
    @pytest.mark.parametrize("path", ["/api/v1/models", "/nowhere", "/health"])
    async def test_on_every_answer(self, http, path):
        first, second = [(await http.get(path)).headers for _ in range(2)]
        assert first["x-venice-version"]
        assert first["cf-ray"] != second["cf-ray"]


class TestBrowser:
    async def test_preflight(self, http):
        asked = {
            "origin": "https://a.test",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        answer = await http.options("/api/v1/video/queue", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "x-stainless-retry-count"} <= set(allowed)
        assert {"content-type", "idempotency-key", "range", "if-range"} <= set(allowed)

    async def test_reads_answers_and_errors(self, http):
        for path in ("/api/v1/models", "/api/v1/nowhere"):
            assert (await http.get(path)).headers["access-control-allow-origin"] == "*"

    @pytest.mark.parametrize("path", ["/worker/v1/claim", "/health", "/metrics"])
    async def test_has_no_business_elsewhere(self, http, path):
        answer = await http.options(path, headers={"access-control-request-method": "GET"})
        assert answer.status_code == 405
        assert "access-control-allow-origin" not in answer.headers


class TestDatabaseAway:
    async def test_is_503_and_heals_by_itself(self, http, open_tenant, yard, cluster):
        tenant = await open_tenant()
        name = psycopg.conninfo.conninfo_to_dict(yard.database.url)["dbname"]

        async def queue():
            return await http.post("/api/v1/video/queue", json=ASKED, headers=tenant.headers)

        with psycopg.connect(cluster, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [name],
                )
                answer = await queue()
                assert answer.status_code == 503
                assert "temporarily unavailable" in answer.json()["error"]
            finally:
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until = time.monotonic() + 20
        while (answer := await queue()).status_code == 503 and time.monotonic() < until:
            pass
        assert answer.status_code == 200


class TestBlockedLoop:
    async def test_is_noticed(self, http, monkeypatch):
        price = generation.quote

        async def slow(*arguments):
            time.sleep(0)
            return await price(*arguments)

        assert (await http.post("/api/v1/video/quote", json=ASKED)).status_code == 200
        monkeypatch.setattr(generation, "quote", slow)
        with blockbuster_ctx("squero"), structlog.testing.capture_logs() as logs:
            assert (await http.post("/api/v1/video/quote", json=ASKED)).status_code == 500
        assert [entry["error"] for entry in logs] == ["BlockingError"]


def scope_of(path):
    return {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}


@pytest.mark.parametrize("duration", [b"5s", b"never"])
async def test_leaves_nothing_to_the_garbage_collector(house, duration):
    class Client:
        async def receive(self):
            body = b'{"model": "motion-text-to-video", "duration": "%b"}' % duration
            return {"type": "http.request", "body": body}

        async def send(self, message):
            pass

    client = Client()
    scope = {"type": "http", "method": "POST", "path": "/api/v1/video/quote"}
    scope |= {"headers": [(b"content-type", b"application/json")]}
    scope |= {"root_path": "", "query_string": b"", "client": ("192.0.2.1", 80)}
    gone = weakref.ref(client)
    gc.disable()
    try:
        await Application(house)(scope, client.receive, client.send)
        del client, scope
        assert gone() is None
    finally:
        gc.enable()
