"""The API's own description: an OpenAPI document, and a page that shows it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from squero import __version__
from squero.api.house import House
from squero.wire.openapi import document

_PLAIN: Final = re.compile(r"[A-Za-z$/_][\w$/{}.-]*(?: [\w$/{}.-]+)*", re.ASCII)
_TAKEN: Final = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --mark: #0b6e6e; }
@media (prefers-color-scheme: dark) { :root { --mark: #5cc9c9; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 0 auto; padding: 1rem; }
h1 small { font-weight: 400; opacity: .7; font-size: 1rem; }
a, .method { color: var(--mark); }
nav ul { padding-left: 1.2rem; }
section { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: 2rem; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem; overflow: auto; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); }
"""


async def openapi(house: House, request: Request) -> Response:
    """GET /doc/api/swagger.yaml: for a page of any origin too, since it is no secret."""
    headers = {"access-control-allow-origin": "*"}
    return Response(_openapi_text(), 200, headers, "application/yaml")


async def page(house: House, request: Request) -> Response:
    """GET /docs: the same for people; loads nothing, and runs nothing."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return Response(_page_text(), 200, headers, "text/html")


@cache
def _document() -> dict[str, Any]:
    return document(__version__)


@cache
def _openapi_text() -> str:
    return "\n".join(yaml_lines(_document())) + "\n"


def yaml_lines(value: object) -> Iterator[str]:
    """JSON data as the lines of a YAML document, in block style."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    elif isinstance(value, list | tuple) and value:
        for inner in value:
            head, *rest = yaml_lines(inner)
            yield f"- {head}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: object) -> Iterator[str]:
    if value and isinstance(value, Mapping | list | tuple):
        yield key
        yield from (f"  {line}" for line in yaml_lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _TAKEN:
        return value
    # JSON's spelling of a text, a number or an empty container is YAML's as well.
    if isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(value, ensure_ascii=False)


@cache
def _page_text() -> str:
    api = _document()
    info = api["info"]
    calls = list(_calls(api))
    listed = "".join(
        f'<li><a href="#{call["operationId"]}"><code>{method} {path}</code></a> '
        f"{escape(call['summary'])}</li>"
        for method, path, call in calls
    )
    told = "".join(_call(api, method, path, call) for method, path, call in calls)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{info['title']} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{info['title']} <small>{info['version']}</small></h1>"
        f"<p>{escape(info['summary'])} {escape(info['description'])}</p>"
        "<p>Calls are below <code>/api/v1</code>. The same for programs: "
        '<a href="/doc/api/swagger.yaml">swagger.yaml</a>.</p>'
        f"<nav><ul>{listed}</ul></nav><main>{told}</main></body></html>\n"
    )


def _calls(api: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in api["paths"].items():
        for method, call in methods.items():
            yield method.upper(), path, call


def _call(api: Mapping[str, Any], method: str, path: str, call: Mapping[str, Any]) -> str:
    key = "with a key" if call["security"] else "without a key"
    parts = [
        f'<section id="{call["operationId"]}"><h2><span class="method">{method}</span> '
        f"<code>{path}</code></h2><p>{_prose(call['description'])} ({key})</p>"
    ]
    if "parameters" in call:
        rows = [(one["name"], one["in"], one["description"]) for one in call["parameters"]]
        parts.append(_table(("parameter", "in", ""), rows))
    if "requestBody" in call:
        body = call["requestBody"]["content"]["application/json"]
        parts.append(_table(("field", "type", ""), _fields(api, body["schema"])))
        for example in body["examples"].values():
            parts.append(_code(example["value"]))
    answers = call["responses"].items()
    rows = [(status, "", _resolved(api, said)["description"]) for status, said in answers]
    parts.append(_table(("status", "", ""), rows))
    example = call["responses"]["200"]["content"]["application/json"].get("example")
    parts.append(_code(example) if example is not None else "")
    return "".join(parts) + "</section>"


def _resolved(api: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = part
    if "$ref" in part:
        found = api
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    resolved: Mapping[str, Any] = found
    return resolved


def _fields(api: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    model = _resolved(api, schema)
    required = model.get("required", ())
    return [
        (name, _type(field), "required" if name in required else _default(field))
        for name, field in model["properties"].items()
    ]


def _type(field: Mapping[str, Any]) -> str:
    kind = field.get("type", "any")
    return f"{kind} of objects" if kind == "array" else str(kind)


def _default(field: Mapping[str, Any]) -> str:
    return f"default: {json.dumps(field['default'])}" if "default" in field else ""


def _table(head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{_prose(text)}</td>"
        for name, kind, text in rows
    )
    return f"<table><tr>{heads}</tr>{'</tr>'.join(lines)}</tr></table>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _code(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
