"""Errors in Anthropic's shape, made of those in OpenAI's."""

from pydantic import BaseModel

from fastchat.api.errors import Error

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesErrorDetail(BaseModel):
    """What went wrong. `code` is ours, as in OpenAI's shape."""

    type: str
    message: str
    code: str | None = None


class MessagesError(BaseModel):
    """Body of every response that is not 2xx, and of the event `error` that ends a broken stream."""

    type: str = "error"
    error: MessagesErrorDetail
    request_id: str | None = None


def messages_error(status: int, error: Error, request_id: str | None = None) -> bytes:
    """The error as a JSON document."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    # By these words Anthropic's clients know that a conversation is to be shortened.
    message = f"prompt is too long: {error.message}" if error.code == "context_length_exceeded" else error.message
    detail = MessagesErrorDetail(type=kind, message=message, code=error.code)
    return MessagesError(error=detail, request_id=request_id).model_dump_json(exclude_none=True).encode()
