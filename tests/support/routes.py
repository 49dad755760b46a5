"""What an OpenAPI document says of the routes of the API, and what the table says of them."""

from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.routing import Route as Served

from fastchat.api.routes import ROUTES, Route


class Documented(NamedTuple):
    """One route. `request` and `response` are names of types."""

    path: str
    request: str | None
    response: str
    streams: bool


TABLE = {
    Documented(
        route.path.replace(":path}", "}"),
        None if route.request is None else route.request.__name__,
        route.response.__name__,
        route.event is not None,
    )
    for route in ROUTES
}
DOCS = {("GET", "/openapi.json"), ("GET", "/docs")}
"""What describes the routes."""


def method_and_path(route: Route) -> tuple[str, str]:
    """As `served` gives them."""
    return "POST" if route.request else "GET", route.path


def served(app: Starlette) -> set[tuple[str, str]]:
    """Method and path of every route of an app."""
    routes = [route for route in app.routes if isinstance(route, Served)]
    return {(method, route.path) for route in routes for method in (route.methods or ()) if method != "HEAD"}


def documented(document: dict[str, Any]) -> set[Documented]:
    """The routes of an OpenAPI document that respond with a named type."""
    found = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            content = operation["responses"]["200"].get("content", {})
            response = _name(content.get("application/json", {}))
            if response:
                request = _name(operation.get("requestBody", {}).get("content", {}).get("application/json", {}))
                found.add(Documented(path, request, response, "text/event-stream" in content))
    return found


def _name(media: dict[str, Any]) -> str | None:
    reference: str | None = media.get("schema", {}).get("$ref")
    return reference.rpartition("/")[2] if reference else None
