"""What goes wrong between us and the Kubernetes API.

KubeError
├── CredentialsError      where the API server is, or what it knows us by, cannot be found out
├── ApiError              the API server refused
│   └── UnreachableError  it could not be reached, or did not respond
└── RelistNeeded          what was listed and watched before may no longer be so
"""

_FINAL = frozenset({400, 403, 404, 405, 413, 415, 422})


class KubeError(Exception):
    """The text is for people."""


class CredentialsError(KubeError):
    """Where the API server is, or what it knows us by, cannot be found out."""


class ApiError(KubeError):
    """The API server refused, or could not be reached (status 0).

    Attributes:
        status: HTTP's.
        reason: the API server's word for it, such as `AlreadyExists`; empty where it gave none.
        retry_after: seconds before which the same request is not to be made again.
    """

    def __init__(self, status: int, message: str, retry_after: float = 0.0, *, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def final(self) -> bool:
        """Whether the same request would be refused again."""
        return self.status in _FINAL

    @property
    def refusal(self) -> bool:
        """Whether it is about the object; 500 is what the API server says for an admission webhook that is down."""
        return self.final or self.status == 500


class UnreachableError(ApiError):
    """There was no response, or not all of one."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)

    @classmethod
    def of(cls, error: Exception) -> "UnreachableError":
        """For an error of a connection. aiohttp's own text has an address in memory in it, its cause's has not."""
        reason = getattr(error, "os_error", None) or error
        return cls(f"the Kubernetes API was not reached: {str(reason) or type(error).__name__}")


class RelistNeeded(KubeError):  # noqa: N818  # a state, not always a fault
    """What was listed and watched before may no longer be so. The message says why."""
