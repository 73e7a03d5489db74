"""COMPATIBILITY.md says what is so: its tables are read and held against the code."""

import json
import re
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

from squero.api.routes import routes
from squero.settings import Settings
from squero.wire.video import QueueVideoRequest

pytestmark = pytest.mark.anyio

TEXT = Path(__file__).parents[2].joinpath("COMPATIBILITY.md").read_text("utf-8")
CONTRACT = json.loads(Path(__file__).with_name("contract-2025-12-30.json").read_text("utf-8"))


def table(title):
    """The rows below a heading, as lists of cells without their backticks."""
    section = TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" |") for line in section.splitlines() if line[:1] == "|"]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


@pytest.fixture
def calls(house):
    """Every call of the API that there is, as "POST /video/quote"."""
    (api,) = [one for one in routes(house) if isinstance(one, Mount) and one.path == "/api/v1"]
    return {
        f"{method} {route.path}"
        for route in api.routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }


class TestCalls:
    def test_that_work_are_the_routes_there_are(self, calls):
        assert {row[0] for row in table("Calls") if row[1] == "works"} == calls

    def test_that_do_not_say_so(self):
        for call, state, *_ in table("Calls"):
            assert state == "works" or state.startswith(("not yet", "never: ")), call

    def test_of_the_contract_are_all_listed(self):
        listed = {row[0].split(" ", 1)[1] for row in table("Calls")}
        assert set(CONTRACT["answers"]) <= listed

    async def test_that_are_not_there_are_404(self, http):
        for call, state, *_ in table("Calls"):
            if state != "works":
                method, path = call.split(" ", 1)
                answer = await http.request(method, f"/api/v1{path}")
                assert answer.status_code == 404, call

    async def test_commands_that_are_shown_do_what_they_say(self, http, open_tenant):
        tenant = await open_tenant()
        shown = 0
        for call, _, *command in table("Calls"):
            body = re.search(r"--json '(.+)'", "".join(command))
            if body is not None:
                shown += 1
                path = call.removeprefix("POST ")
                answer = await http.post(
                    f"/api/v1{path}", json=json.loads(body[1]), headers=tenant.headers
                )
                assert answer.status_code == 200, call
        assert shown >= 2


class TestTables:
    def test_fields_are_those_of_a_queue_call(self):
        listed = {row[0] for row in table("What a queue call takes")}
        assert listed == set(QueueVideoRequest.model_fields)

    def test_models_are_the_catalogue(self, yard):
        listed = {row[0] for row in table("Models")}
        others = yard.catalog.models.keys() - listed
        assert listed <= yard.catalog.models.keys()
        assert f"The other {len(others)} are stand-ins" in TEXT
        assert all(yard.catalog.models[one].name.endswith("(stand-in)") for one in others)

    async def test_headers_are_sent(self, http, open_tenant):
        tenant = await open_tenant()
        body = {"model": "motion-text-to-video", "prompt": "p", "duration": "5s"}
        headers = tenant.headers | {"idempotency-key": "k"}
        answers = [
            await http.post("/api/v1/video/queue", json=body, headers=headers) for _ in range(2)
        ]
        job = answers[0].json()
        answers.append(await http.post("/api/v1/video/retrieve", json=job, headers=tenant.headers))
        for _ in range(20):
            answers.append(await http.post("/api/v1/video/queue", json={}, headers=tenant.headers))
        sent = {name for answer in answers for name in answer.headers}
        assert {row[0] for row in table("Headers")} <= sent


def test_settings_that_are_named_exist():
    named = set(re.findall(r"SQUERO_[A-Z_]+", TEXT)) - {"SQUERO_API_KEY"}
    assert named
    assert {name.removeprefix("SQUERO_").lower() for name in named} <= set(Settings.model_fields)
