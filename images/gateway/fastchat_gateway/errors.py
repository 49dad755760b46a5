"""Every refusal of the gateway, in OpenAI's shape."""

from datetime import datetime

import msgspec
from pydantic import ValidationError

from fastchat._runtime import refusal
from fastchat._runtime.refusal import QUEUE_FULL, RefusalError
from fastchat.api import Error, ErrorResponse
from fastchat.api.messages import messages_error
from fastchat.api.routes import Style
from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE

RETRY_AFTER_SECONDS = 5


class RefusedError(RefusalError):
    """Becomes the response, or ends the stream that has begun."""

    def __init__(self, status: int, error: Error, header_lines: bytes = b"") -> None:
        super().__init__(status, error)
        self.header_lines = header_lines
        """Those that only this error has; each ends in CRLF."""

    def document(self, style: Style, request_id: str) -> bytes:
        """The error as JSON, as a client of this style expects it."""
        return messages_error(self.status, self.error, request_id) if style == "messages" else self.body

    def event(self, style: Style, request_id: str, number: int) -> bytes:
        """The error as the last event of a stream, before which there were so many others."""
        if style == "completions":
            return b"data: %b\n\n" % self.body
        if style == "messages":
            return b"event: error\ndata: %b\n\n" % self.document(style, request_id)
        said = {"type": "error", "sequence_number": number, **self.error.model_dump(include=_TOLD)}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)


_TOLD = {"code", "message", "param"}


_RETRY_LATER = b"retry-after: %d\r\n" % RETRY_AFTER_SECONDS


def bad_request(message: str, param: str | None = None, code: str | None = None) -> RefusedError:
    return RefusedError(400, Error(message=message, param=param, code=code))


def no_route(path: str) -> RefusedError:
    message = f"There is no route {path[:256]}; /docs shows those that are."
    return RefusedError(404, Error(message=message, code="not_found"))


def method_not_allowed(method: str, path: str, allow: str) -> RefusedError:
    error = Error(message=f"{path} is not for {method} but for {allow}.", code="method_not_allowed")
    return RefusedError(405, error, b"allow: %b\r\n" % allow.encode())


def method_unknown(method: str) -> RefusedError:
    return RefusedError(501, Error(message=f"The gateway knows no method {method[:256]}.", code="method_unknown"))


def missing_api_key() -> RefusedError:
    return _unauthorized(
        "An API key is needed: send 'Authorization: Bearer KEY', or 'x-api-key: KEY'.", "invalid_api_key"
    )


def invalid_api_key() -> RefusedError:
    return _unauthorized("The API key is wrong: it is not one of this gateway's, or no longer.", "invalid_api_key")


def expired_api_key(name: str, when: datetime) -> RefusedError:
    return _unauthorized(f"The API key '{name}' expired at {when:%Y-%m-%dT%H:%M:%SZ}.", "expired_api_key")


def not_internal(path: str) -> RefusedError:
    message = (
        f"{path} needs the internal token: set {INTERNAL_TOKEN_VARIABLE} for the gateway and send it as "
        "'Authorization: Bearer TOKEN'. /metrics and what the page shows operators are also for API keys made with "
        "`fastchat keys create --operator`; --open-metrics opens /metrics to all."
    )
    return _unauthorized(message, "invalid_internal_token")


def _unauthorized(message: str, code: str) -> RefusedError:
    return RefusedError(401, Error(message=message, code=code), b"www-authenticate: Bearer\r\n")


def model_not_allowed(key: str, model: str) -> RefusedError:
    message = f"The API key '{key}' is not for the model '{model[:256]}'; GET /v1/models lists those it is for."
    return RefusedError(403, Error(message=message, type="permission_error", param="model", code="model_not_allowed"))


def origin_not_allowed(origin: str) -> RefusedError:
    message = f"Web pages of {origin[:256]} may not ask this gateway; --allowed-origins says which may."
    return RefusedError(403, Error(message=message, type="permission_error", code="origin_not_allowed"))


def host_not_allowed(host: str) -> RefusedError:
    message = f"This gateway does not answer for the host '{host[:256]}'; --allowed-hosts says for which it does."
    return RefusedError(421, Error(message=message, code="host_not_allowed"))


def rate_limited(message: str, retry_after: int, header_lines: bytes) -> RefusedError:
    """`retry_after` in seconds; `header_lines` say what the key has left."""
    error = Error(message=message, type="rate_limit_error", code="rate_limit_exceeded")
    return RefusedError(429, error, b"retry-after: %d\r\n%b" % (retry_after, header_lines))


def too_many_sequences(key: str, sequences: int, most: int) -> RefusedError:
    message = f"This request is for {sequences} sequences (n for each prompt), and the API key '{key}' may have {most} "
    return bad_request(message + "in progress at a time; send several requests.", code="too_many_sequences")


def model_not_found(name: str) -> RefusedError:
    message = f"The model '{name[:256]}' does not exist; GET /v1/models lists those that do."
    return RefusedError(404, Error(message=message, param="model", code="model_not_found"))


def not_discovered(name: str) -> RefusedError:
    message = f"The model '{name[:256]}' is not known yet: not all models have been heard of; try again later."
    error = Error(message=message, type="server_error", param="model", code="model_unknown")
    return RefusedError(503, error, _RETRY_LATER)


def too_large(limit: int) -> RefusedError:
    return RefusedError(413, refusal.too_large(limit))


def too_complex(reason: str) -> RefusedError:
    return RefusedError(400, refusal.too_complex(reason))


def head_too_large(limit: int) -> RefusedError:
    return RefusedError(431, Error(message=f"The request's head is larger than {limit} bytes.", code="head_too_large"))


def too_slow(part: str, seconds: float) -> RefusedError:
    message = f"The request's {part} did not arrive within {seconds:g} seconds."
    return RefusedError(408, Error(message=message, code="request_timeout"))


def overloaded() -> RefusedError:
    message = "This gateway has as many requests as it can take; try again later."
    return RefusedError(503, Error(message=message, type="server_error", code="overloaded"), _RETRY_LATER)


def queue_full(model: str) -> RefusedError:
    message = f"No worker of '{model}' is ready and too many requests wait for one already; try again later."
    return RefusedError(429, Error(message=message, type="rate_limit_error", code=QUEUE_FULL), _RETRY_LATER)


def no_worker(model: str, seconds: float) -> RefusedError:
    message = f"No worker of '{model}' became ready within {seconds:g} seconds; try again later."
    return RefusedError(503, Error(message=message, type="server_error", code="no_worker"), _RETRY_LATER)


def workers_failed(model: str) -> RefusedError:
    message = f"Each worker of '{model}' that was given this request failed before it answered."
    return RefusedError(502, Error(message=message, type="server_error", code="workers_failed"))


def worker_silent(model: str) -> RefusedError:
    message = (
        f"The worker of '{model}' fell silent after it was given this request; no other one was, for that may be why."
    )
    return RefusedError(504, Error(message=message, type="server_error", code="worker_silent"))


def worker_lost(model: str) -> RefusedError:
    message = f"The worker of '{model}' was lost in the middle of its answer."
    return RefusedError(502, Error(message=message, type="server_error", code="worker_lost"))


def model_changed(model: str) -> RefusedError:
    message = (
        f"The worker of '{model}' was lost in the middle of its answer, and those that are left have another model or "
        "revision, which cannot go on with it."
    )
    return RefusedError(502, Error(message=message, type="server_error", code="model_changed"))


def bad_response(model: str) -> RefusedError:
    message = f"The worker of '{model}' gave an answer that makes no sense."
    return RefusedError(502, Error(message=message, type="server_error", code="bad_answer"))


def from_worker(status: int, body: bytes) -> RefusedError:
    """A worker's own error response, where a stream or a result of it was wanted."""
    try:
        error = ErrorResponse.model_validate_json(body).error
    except ValidationError:
        error = Error(message=f"The worker answered with status {status}.", type="server_error")
    return RefusedError(status, error)


class _Code(msgspec.Struct):
    code: str | None = None


class _Coded(msgspec.Struct):
    error: _Code


def code_of(body: bytes) -> str | None:
    """The code in a worker's error response; None where it has none."""
    try:
        return msgspec.json.decode(body, type=_Coded).error.code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def shutting_down() -> RefusedError:
    error = Error(message="This gateway is shutting down; try again.", type="server_error", code="shutting_down")
    return RefusedError(503, error, _RETRY_LATER)


def server_error() -> RefusedError:
    return RefusedError(500, Error(message="The gateway failed; its log says why.", type="server_error"))
