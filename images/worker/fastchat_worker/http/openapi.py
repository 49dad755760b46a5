"""The worker's OpenAPI document: request bodies are parsed by hand, so they are described by hand."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fastchat.api import ErrorResponse

_COMPONENT = "#/components/schemas/{model}"
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorResponse}, "5XX": {"model": ErrorResponse}}


def body_of(request: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes this JSON body."""
    schema = {"$ref": _COMPONENT.format(model=request.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def responses_of(model: type[BaseModel], *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route whose response is this document, or a stream where the request asks for it."""
    response: dict[str, Any] = {"model": model}
    if stream:
        response["content"] = {"text/event-stream": {}}
    return {200: response, **_ERRORS}


def describe(app: FastAPI, *requests: type[BaseModel]) -> None:
    """Puts the schemas that `body_of` points at into the app's document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, schemas = models_json_schema([(r, "validation") for r in requests], ref_template=_COMPONENT)
            document["components"]["schemas"].update(schemas["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
