"""What the worker refuses, and why a model cannot be loaded."""

from collections.abc import Sequence

from fastchat._runtime import refusal
from fastchat._runtime.refusal import QUEUE_FULL, RefusalError
from fastchat.api import Error

_RETRY_SOON = {"Retry-After": "1"}


class LoadError(Exception):
    """The model cannot be loaded; the message names what to change."""


class RequestError(RefusalError):
    """Becomes the response: an error in OpenAI's shape about the request, or, from status 500 on, about the worker."""

    def __init__(self, status: int, error: Error, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, error)
        self.headers = headers or {}


class TooLongError(RequestError):
    """A text has more tokens than the model takes, `at_least` so many."""

    def __init__(self, max_len: int, at_least: int, what: str, param: str, remedy: str = "") -> None:
        message = f"This model's maximum context length is {max_len} tokens. However, {what} at least {at_least} tokens"
        error = Error(message=f"{message}{remedy}.", param=param, code="context_length_exceeded")
        super().__init__(400, error)
        self.at_least = at_least


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> RequestError:
    return RequestError(400, Error(message=message, param=param, code=code))


def context_length_exceeded(max_len: int, message: str, param: str) -> RequestError:
    message = f"This model's maximum context length is {max_len} tokens. However, {message}."
    return RequestError(400, Error(message=message, param=param, code="context_length_exceeded"))


def half_character(param: str) -> RequestError:
    where = f"'{param}'" if param else "The body"
    message = f"{where} has half a character: an escape from \\ud800 to \\udfff without the other one of its pair."
    return bad_request(message, param[:256] or None)


def unknown_fields(name: str) -> RequestError:
    return bad_request(f"Unrecognized request argument supplied: {name}.", name, "unknown_parameter")


def too_many_tokens(most: int, param: str) -> RequestError:
    return bad_request(f"{param} has more than {most} tokens in all; send fewer texts at a time.", param)


def unauthorized() -> RequestError:
    message = "Workers answer their namespace's gateways only; ask the gateway."
    error = Error(message=message, type="authentication_error", code="invalid_internal_token")
    return RequestError(401, error, {"WWW-Authenticate": "Bearer"})


def model_not_found(name: str) -> RequestError:
    message = f"The model '{name}' does not exist."
    return RequestError(404, Error(message=message, param="model", code="model_not_found"))


def too_large(limit: int) -> RequestError:
    return RequestError(413, refusal.too_large(limit))


def too_complex(reason: object) -> RequestError:
    return RequestError(400, refusal.too_complex(reason))


def cannot_resume(differs: Sequence[str]) -> RequestError:
    message = (
        "The response began on a worker that this one cannot take over from, for a response is never made of two "
        f"models: another {', another '.join(differs)}."
    )
    return RequestError(409, Error(message=message, code="cannot_resume"))


def queue_full() -> RequestError:
    message = "The worker has as many requests waiting as it takes; try again later."
    return RequestError(429, Error(message=message, type="rate_limit_error", code=QUEUE_FULL), _RETRY_SOON)


def not_ready(state: str) -> RequestError:
    message = f"The worker is {state}; try again later."
    return RequestError(503, Error(message=message, type="server_error", code=state.replace(" ", "_")), _RETRY_SOON)


def not_draining(state: str) -> RequestError:
    message = f"The worker is {state}, and hands over nothing: it does so only after SIGTERM."
    return RequestError(409, Error(message=message, code="not_draining"))


def server_error(message: str = "The worker failed; its log says why.") -> RequestError:
    return RequestError(500, Error(message=message, type="server_error"))


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
