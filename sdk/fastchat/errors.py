"""What the client and `fastchat.deployments` raise.

* FastChatError
  x APIConnectionError            no response, or not all of it
    + APITimeoutError             the server was silent for too long
  x APIStatusError                a response that is not 2xx, or an error inside a stream
    + BadRequestError             400, 413, 422: the request has to change
    + AuthenticationError         401
    + PermissionDeniedError       403
    + NotFoundError               404: most often a model that is not served here
    + RateLimitError              429
    + InternalServerError         500 and above
      - ServiceUnavailableError   503: most often no worker is ready
  x APIResponseError              2xx, but not what the API describes
  x KubernetesError               the Kubernetes API refused, or was not reached
    + DeploymentNotFoundError     404
    + DeploymentConflictError     409: it is there already, or somebody else has changed it
    + DeploymentInvalidError      the manifest has to change
  x DeploymentFailedError         a ModelDeployment cannot work, for the reason that its status gives
  x DeploymentTimeoutError        a ModelDeployment was not ready in time

An argument that can never work (a base URL without a scheme, a timeout of 0) is a ValueError, before anything is sent.
The names are those of OpenAI's Python library wherever it has one.
"""

import copyreg
from typing import Any


class FastChatError(Exception):
    """The base of all of them. `message` is the whole sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the class with `args` alone, which loses or lacks the keyword arguments.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class APIConnectionError(FastChatError):
    """The server could not be reached, or the connection broke before the response was complete."""


class APITimeoutError(APIConnectionError):
    """The server was silent for longer than the timeout."""


class APIResponseError(FastChatError):
    """A 2xx response, or an event of a stream, that is not what the API describes. `body` holds what came instead."""

    def __init__(self, message: str, *, body: str) -> None:
        super().__init__(message)
        self.body = body


class APIStatusError(FastChatError):
    """The server refused, in its own words.

    Attributes:
        message: the server's words.
        status_code: HTTP status; for an error inside a stream the one that its type or code stands for, else 500.
        type, param, code: OpenAI's fields, None where the server gave none.
        request_id: the response's `x-request-id`, to find it in the logs of the gateway.
        retry_after: seconds that the server says to wait (RFC 9110, 10.2.3), or None.
        body: the JSON object of the response, or its text.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        type: str | None = None,  # noqa: A002  # the wire's name
        param: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: dict[str, Any] | str = "",
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.type = type
        self.param = param
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status_code}: {self.message}{request}"


class BadRequestError(APIStatusError):
    """400, 413 or 422: the same request will be refused again; `param` names what to change."""


class AuthenticationError(APIStatusError):
    """401: no API key, or a wrong one."""


class PermissionDeniedError(APIStatusError):
    """403: the key is known and may not do this."""


class NotFoundError(APIStatusError):
    """404: no such model, or no such route."""


class RateLimitError(APIStatusError):
    """429: too many requests at once; `retry_after` says when to come back."""


class InternalServerError(APIStatusError):
    """500 and above: the server's fault."""


class ServiceUnavailableError(InternalServerError):
    """503: no worker is ready; `retry_after` says when to come back."""


class KubernetesError(FastChatError):
    """The Kubernetes API refused, or was not reached.

    Attributes:
        status_code: HTTP status; 0 where there was no response.
        reason: the API server's word for it, such as `AlreadyExists`; empty where it gave none.
    """

    def __init__(self, message: str, *, status_code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status_code = status_code
        self.reason = reason


class DeploymentNotFoundError(KubernetesError):
    """There is no ModelDeployment of that name in the namespace."""


class DeploymentConflictError(KubernetesError):
    """There is one of that name already, or somebody else owns what was to be changed."""


class DeploymentInvalidError(KubernetesError):
    """What was given is no ModelDeployment that the cluster takes; the message names the fields."""


class DeploymentFailedError(FastChatError):
    """A ModelDeployment cannot work.

    Attributes:
        reason: the root cause in one word, such as `ModelLoadFailed`: docs/operator.md has them all.
        deployment: the ModelDeployment as it was last seen.
    """

    def __init__(self, message: str, *, reason: str, deployment: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.deployment = deployment


class DeploymentTimeoutError(FastChatError):
    """A ModelDeployment was not ready in time; `deployment` is it as it was last seen."""

    def __init__(self, message: str, *, deployment: Any) -> None:
        super().__init__(message)
        self.deployment = deployment


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}


def status_error_class(status_code: int) -> type[APIStatusError]:
    """The class that an HTTP status is raised as."""
    return _BY_STATUS.get(status_code, InternalServerError if status_code >= 500 else APIStatusError)
