"""`/docs`: the reference of the whole API as one plain page, drawn from `/openapi.json` on the server.

The usual documentation pages load scripts from elsewhere; this one has none and works without a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from serve_app.api.render import safe_html

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
:root { color-scheme: light dark; }
h2 { border-bottom: 1px solid; margin-top: 3rem; text-transform: capitalize; }
section { margin: 2rem 0; overflow-x: auto; }
h3 code { overflow-wrap: anywhere; }
table { border-collapse: collapse; }
td, th { border: 1px solid color-mix(in srgb, currentColor 30%, transparent); padding: .2rem .6rem; text-align: left; }
"""


def reference_page(spec: Mapping[str, Any]) -> str:
    """The HTML of an OpenAPI 3.1 description. No scripts, no inline styles."""
    title = escape(f"{spec['info']['title']}: reference of the API")
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title}</title><link rel="stylesheet" href="/docs/reference.css"></head>',
            f"<body><h1>{title}</h1>",
            '<p>The same for machines: <a href="/openapi.json">/openapi.json</a></p>',
            safe_html(spec["info"].get("description", "")),
            *_groups(spec),
            "</body></html>",
        )
    )


def _groups(spec: Mapping[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            drawn = "".join(_operation(spec, f"{method.upper()} {path}", operation))
            groups.setdefault(tag, []).append(drawn)
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _operation(spec: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<section><h3><code>{escape(name)}</code></h3>"
    yield safe_html(operation.get("description") or operation.get("summary", ""))
    rows = [
        (p["name"], p["in"], p["schema"], p.get("required", False))
        for p in operation.get("parameters", [])
    ]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        rows += _fields(spec, "body", media.get("schema", {}))
    if rows:
        yield _table(spec, "Takes", rows)
    for status, answer in operation.get("responses", {}).items():
        for media in answer.get("content", {}).values():
            fields = _fields(spec, "answer", media.get("schema", {}))
            if fields and status.startswith("2"):
                yield _table(spec, f"Answers {status}", fields)
    yield "</section>"


_Row = tuple[str, str, Mapping[str, Any], bool]


def _fields(spec: Mapping[str, Any], place: str, schema: Mapping[str, Any]) -> list[_Row]:
    schema = _resolved(spec, schema)
    required = schema.get("required", ())
    return [
        (name, place, inner, name in required)
        for name, inner in schema.get("properties", {}).items()
    ]


def _table(spec: Mapping[str, Any], caption: str, rows: list[_Row]) -> str:
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td>"
        f"<td>{escape(_kind(spec, schema))}</td><td>{_presence(schema, required)}</td></tr>"
        for name, place, schema, required in rows
    )
    return f"<table><caption>{escape(caption)}</caption>{body}</table>"


def _presence(schema: Mapping[str, Any], required: bool) -> str:
    default = schema.get("default")
    if default is not None:
        return f"default {escape(str(default))}"
    return "required" if required else "optional"


def _kind(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(spec, s) for s in schema["anyOf"] if s.get("type") != "null")
    if "$ref" in schema:
        return _kind(spec, _resolved(spec, schema))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(spec, schema.get('items', {}))}"
    return str(schema.get("title") if "properties" in schema else schema.get("type", "any"))


def _resolved(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return spec["components"]["schemas"][name] if name else schema
