"""The page `/docs`: an OpenAPI document as HTML, without scripts and without anything from another server."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}code,td:first-child{font-family:ui-monospace,monospace}summary{cursor:pointer;padding:.3rem 0}"
    "table{border-collapse:collapse;margin:.3rem 0 1rem 1rem}td{padding:.1rem .8rem .1rem 0;vertical-align:top}"
    "p{margin:.2rem 0 .4rem 1rem}b{display:inline-block;min-width:3.5rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of the response: a browser loads nothing for the page and runs nothing in it."""


def docs_page(document: Mapping[str, Any]) -> str:
    """The page: every operation of the document, with the fields of its request."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = "".join(
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p>As a document: <a href="/openapi.json">/openapi.json</a></p>{operations}</body></html>'
    )


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_row(*field) for field in _fields(document, operation))
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code></summary>"
        f"<p>{escape(operation.get('description', ''))}</p>{f'<table>{rows}</table>' if rows else ''}</details>"
    )


def _fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, type and description of each field of the request's body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = document.get("components", {}).get("schemas", {}).get(name, {})
    required = schema.get("required", ())
    for field, about in schema.get("properties", {}).items():
        must = "required. " if field in required else ""
        yield field, _type(about), must + about.get("description", "")


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " | ".join(_type(branch) for branch in branches)
    kind = str(schema.get("const", schema.get("type", "any")))
    return f"list of {_type(schema.get('items', {}))}" if kind == "array" else kind


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
