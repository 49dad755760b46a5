"""The worker's OpenAPI document: request bodies are parsed by hand, so they are described by hand."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fastchat.api import ErrorResponse
from fastchat.api.messages import MessagesError
from fastchat.api.routes import ROUTES, Route

_COMPONENT = "#/components/schemas/{model}"
_REQUESTS = dict.fromkeys(route.request for route in ROUTES if route.request)


def described(route: Route) -> dict[str, Any]:
    """What the document says of a route: arguments of FastAPI's decorators."""
    response: dict[str, Any] = {"model": route.response}
    if route.event:
        response["content"] = {"text/event-stream": {}}
    extra = _body_of(route.request) if route.request else None
    error = {"model": MessagesError if route.style == "messages" else ErrorResponse}
    return {"responses": {200: response, "4XX": error, "5XX": error}, "openapi_extra": extra}


def _body_of(request: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": _COMPONENT.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Puts the schemas of all requests, at which `described` points, into the app's document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, schemas = models_json_schema([(r, "validation") for r in _REQUESTS], ref_template=_COMPONENT)
            document["components"]["schemas"].update(schemas["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
