"""Requests that are refused, in OpenAI's shape, and the refusals that are the same whichever part they come from."""

from fastchat.api import Error, ErrorResponse

QUEUE_FULL = "queue_full"
"""Code of a worker or a gateway with as many requests waiting as it takes. After a worker's, another one is tried."""


class RefusalError(Exception):
    """The request gets this status and this error. A part adds the headers, in the form that its server takes."""

    def __init__(self, status: int, error: Error) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error

    @property
    def body(self) -> bytes:
        """The error as a JSON document."""
        return ErrorResponse(error=self.error).model_dump_json().encode()


def too_large(limit: int) -> Error:
    """Of a body of more than `limit` bytes: status 413."""
    return Error(message=f"The body is larger than {limit} bytes.", code="request_too_large")


def too_complex(reason: object) -> Error:
    """Of a body with more structure than is served: status 400."""
    return Error(message=f"The body is more than is served: {reason}.", code="too_complex")
