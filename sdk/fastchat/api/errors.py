"""Errors on the wire: OpenAI's shape, and what a refused request is told."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError


class Error(BaseModel):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """Body of every response that is not 2xx, and of the SSE event that ends a broken stream."""

    error: Error


_LONGEST_PARAM = 256
"""Characters: it may be a name that the caller chose."""
_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "unsupported_parameter": "unsupported_parameter",
    "json_invalid": "invalid_json",
}


def request_error(invalid: ValidationError) -> Error:
    """The first thing wrong with a request, naming the field the way OpenAI does (`messages[0].role`)."""
    first = _most_telling(invalid)
    kind, loc = first["type"], first["loc"]
    # What is unknown has a name of the caller's choice, whatever that looks like.
    param = _param([*_fields(loc[:-1]), str(loc[-1])] if kind == "extra_forbidden" else _fields(loc))
    param = first.get("ctx", {}).get("param", param)  # where fields that are right contradict each other
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        return Error(message=f"The body is not valid JSON: {reason}.", code="invalid_json")
    if kind == "missing":
        message = f"Missing required parameter: '{param}'."
    elif kind == "extra_forbidden":
        message = f"Unrecognized request argument supplied: {param}."
    elif param is None:
        message = f"Invalid request: {_sentence(first['msg'])}"
    else:
        message = f"Invalid value for '{param}': {_sentence(_said(first))}"
    return Error(message=message, param=param, code=_CODES.get(kind, "invalid_value"))


def _most_telling(invalid: ValidationError) -> Mapping[str, Any]:
    """Of the errors of a union's branches, the one that got furthest: it is about the branch the caller meant."""
    errors = invalid.errors(include_url=False, include_input=False)
    head = _fields(errors[0]["loc"])[:1]
    return max(takewhile(lambda error: _fields(error["loc"])[:1] == head, errors), key=_how_far)


def _how_far(error: Mapping[str, Any]) -> tuple[bool, int, list[int]]:
    """Past all elements where there are too many, else by depth, then by place."""
    fields = _fields(error["loc"])
    return error["type"] == "too_long", len(fields), [part for part in fields if isinstance(part, int)]


def _fields(loc: tuple[int | str, ...]) -> list[int | str]:
    """A location without the names of union branches that pydantic puts in (`str`, `list[TextPart]`)."""
    return [
        part for part in loc if isinstance(part, int) or (part.isidentifier() and part not in ("str", "int", "float"))
    ]


def _param(fields: Iterable[int | str]) -> str | None:
    path = ""
    for part in fields:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:_LONGEST_PARAM] or None


def _said(error: Mapping[str, Any]) -> str:
    is_empty = error["type"] == "string_too_short" and error["ctx"]["min_length"] == 1
    return "the text is empty" if is_empty else str(error["msg"])


def _sentence(text: str) -> str:
    text = text[:1].lower() + text[1:]
    return text if text.endswith(".") else text + "."
