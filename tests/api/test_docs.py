"""The OpenAPI document and its page: true of the routes, and of what they answer."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from starlette.routing import Mount, Route

from squero.api.docs import yaml_lines
from squero.api.house import House
from squero.api.routes import routes
from squero.wire.openapi import document
from squero.wire.operations import FIELDS, OPERATIONS

pytestmark = pytest.mark.anyio

DOCUMENT = document("0")


@pytest.fixture
async def told(http: httpx.AsyncClient) -> dict[str, Any]:
    """The document as it is served, parsed by somebody else's YAML."""
    answer = await http.get("/doc/api/swagger.yaml")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/yaml")
    parsed: dict[str, Any] = yaml.safe_load(answer.text)
    return parsed


def schema_of(name: str) -> dict[str, Any]:
    """A schema of the document, with what it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


class TestDocument:
    async def test_every_call_that_is_served_is_told(
        self, told: dict[str, Any], house: House
    ) -> None:
        (api,) = [one for one in routes(house) if isinstance(one, Mount) and one.path == "/api/v1"]
        served = {
            f"{method} {route.path}"
            for route in api.routes
            if isinstance(route, Route)
            for method in (route.methods or set()) - {"HEAD"}
        }
        listed = {
            f"{method.upper()} {path}" for path, calls in told["paths"].items() for method in calls
        }
        assert listed == served

    def test_every_field_is_told(self) -> None:
        for operation in OPERATIONS.values():
            if operation.request:
                fields = DOCUMENT["components"]["schemas"][operation.request]["properties"]
                assert fields.keys() <= FIELDS.keys()
                assert all(field["description"] for field in fields.values())

    def test_an_answer_has_every_field(self) -> None:
        for name in ("ProcessingAnswer", "ModelAnswer", "ModelSpec", "QuoteVideoAnswer"):
            told = DOCUMENT["components"]["schemas"][name]
            assert set(told["required"]) == set(told["properties"]), name

    def test_a_quote_refuses_no_key(self) -> None:
        assert "401" not in DOCUMENT["paths"]["/video/quote"]["post"]["responses"]

    def test_every_reference_leads_somewhere(self) -> None:
        text = "\n".join(yaml_lines(DOCUMENT))
        references = set(re.findall(r'\$ref: "#/([^"]+)"', text))
        assert len(references) > 20
        for reference in references:
            found: Any = DOCUMENT
            for step in reference.split("/"):
                found = found[step]
            assert found

    def test_every_refusal_has_its_body(self) -> None:
        for refusal in DOCUMENT["components"]["responses"].values():
            body = refusal["content"]["application/json"]
            name = body["schema"]["$ref"].rpartition("/")[2]
            OAS31Validator(schema_of(name)).validate(body["example"])
            assert body["example"]["error"]

    def test_nothing_of_our_own_shows(self) -> None:
        assert "DataUrl" not in DOCUMENT["components"]["schemas"]
        image = DOCUMENT["components"]["schemas"]["QueueVideoRequest"]["properties"]["image_url"]
        assert image["type"] == "string" or image["anyOf"] == [{"type": "string"}]

    async def test_the_examples_work(self, http: httpx.AsyncClient, open_tenant: Any) -> None:
        tenant = await open_tenant()
        job: dict[str, str] = {}
        for call, operation in OPERATIONS.items():
            for name, example in operation.examples.items():
                OAS31Validator(schema_of(operation.request)).validate(example)
                body = {**example, **(job if "queue_id" in example else {})}
                path = call.removeprefix("POST ")
                answer = await http.post(f"/api/v1{path}", json=body, headers=tenant.headers)
                assert answer.status_code == 200, (call, name, answer.text)
                OAS31Validator(schema_of(operation.answer)).validate(answer.json())
                job = answer.json() if path == "/video/queue" and not job else job

    def test_any_call_may_come_too_often(self) -> None:
        for path, calls in DOCUMENT["paths"].items():
            for call in calls.values():
                assert "429" in call["responses"], path

    def test_of_two_currencies(self) -> None:
        told = DOCUMENT["components"]["headers"]["x-venice-balance-diem"]["description"]
        assert "DIEM" in told
        assert "one currency" not in told

    @pytest.mark.parametrize("path", ["/models", "/models/traits", "/models/compatibility_mapping"])
    async def test_a_type_is_taken_as_told(self, http: httpx.AsyncClient, path: str) -> None:
        (told,) = DOCUMENT["paths"][path]["get"]["parameters"]
        for kind in told["schema"]["enum"]:
            answer = await http.get(f"/api/v1{path}", params={"type": kind})
            assert (answer.status_code, answer.json()["type"]) == (200, kind)
        default = (await http.get(f"/api/v1{path}")).json()["type"]
        assert default == told["schema"].get("default", "all")

    @pytest.mark.parametrize("key", ["a", "A_-9", "k" * 255, "k" * 256, "a.b", "a b", "~"])
    async def test_a_key_that_names_a_call_is_taken_as_told(
        self, http: httpx.AsyncClient, open_tenant: Any, key: str
    ) -> None:
        (told,) = DOCUMENT["paths"]["/video/queue"]["post"]["parameters"]
        example = OPERATIONS["POST /video/queue"].examples["text"]
        headers = (await open_tenant()).headers | {"idempotency-key": key}
        answer = await http.post("/api/v1/video/queue", json=example, headers=headers)
        assert OAS31Validator(told["schema"]).is_valid(key) == (answer.status_code == 200)

    async def test_models_are_as_told(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/api/v1/models?type=video")
        OAS31Validator(schema_of("ModelsAnswer")).validate(answer.json())

    async def test_any_page_may_read_it(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/doc/api/swagger.yaml")
        assert answer.headers["access-control-allow-origin"] == "*"
        head = await http.head("/doc/api/swagger.yaml")
        assert (head.status_code, head.content) == (200, b"")


class TestYaml:
    @pytest.mark.parametrize(
        "value",
        [
            {"ratio": "16:9", "200": "x", "no": "no", "n": None, "f": 0.05, "i": 1, "b": True},
            ["- a", "a: b", "# c", "", " d", "é", "a\nb", "0x1F", "1e3", "~", "2020-01-01", "null"],
            {"list": [[1, [2]], {"a": []}, {}], "deep": {"er": {"$ref": "#/a"}}},
            {"a: b": "key", "x-y": "fine words", "=": "=", "<<": "merge", "60:00": "sexagesimal"},
        ],
    )
    def test_reads_back_as_it_was(self, value: object) -> None:
        assert yaml.safe_load("\n".join(yaml_lines(value))) == value


class _Page(HTMLParser):
    """What a page loads, runs, and leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attrs:
            if name == "href":
                self.links.add(value or "")
            if name == "id":
                self.ids.add(value or "")
            if name in ("src", "srcset", "style", "action") or name.startswith("on"):
                self.loaded.append(f"{tag} {name}")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestPage:
    async def test_shows_every_call(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        for call, operation in OPERATIONS.items():
            assert f'id="{operation.id}"' in answer.text
            assert call.split(" ")[1] in answer.text
        assert "color-scheme: light dark" in answer.text

    async def test_loads_and_runs_nothing(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/docs")
        page = _Page(answer.text)
        assert page.open == [] and page.loaded == []
        assert not page.names & {"script", "link", "img", "iframe", "form", "object", "base"}
        assert page.links == {f"#{one}" for one in page.ids} | {"/doc/api/swagger.yaml"}

    async def test_forbids_everything_but_its_own_style(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/docs")
        policy = answer.headers["content-security-policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
        assert "url(" not in style and "@import" not in style
        assert "unsafe" not in policy
