"""What the Kubernetes API refuses, as one of `fastchat.errors`, with what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastchat._kube.errors import ApiError, CredentialsError
from fastchat.errors import (
    DeploymentConflictError,
    DeploymentInvalidError,
    DeploymentNotFoundError,
    KubernetesError,
)

_NO_CRD = "this cluster has no ModelDeployments: install FastChat's Helm chart (docs/install.md)"
_REMEDIES = {
    401: "log in to the cluster again: the credentials of the kubeconfig are not accepted",
    403: "ask for a Role that allows it",
}


@contextmanager
def explained(server: str = "") -> Iterator[None]:
    """Raises what goes wrong between us and the Kubernetes API inside it as a KubernetesError."""
    try:
        yield
    except (ApiError, CredentialsError) as error:
        raise failure(error, server) from error


def failure(error: ApiError | CredentialsError, server: str = "") -> KubernetesError:
    """The error for users; `server`: the API server's address, named where it was not reached."""
    if isinstance(error, ApiError):
        return _refused(error) if error.status else _unreachable(error, server)
    return KubernetesError(f"{_line(str(error))}; set KUBECONFIG, or name a kubeconfig or a context")


def _refused(error: ApiError) -> KubernetesError:
    words = _line(str(error))
    about: dict[str, Any] = {"status_code": error.status, "reason": error.reason}
    if error.status == 404:
        return _missing(words, error)
    if error.status == 409 and error.reason == "AlreadyExists":
        return DeploymentConflictError(f"{words}: apply changes the one that is there", **about)
    if error.status == 409:
        return DeploymentConflictError(f"{words}; with force the fields are taken over", **about)
    if error.status in (400, 422):
        return DeploymentInvalidError(words, **about)
    remedy = _REMEDIES.get(error.status)
    return KubernetesError(f"{words}; {remedy}" if remedy else words, **about)


def _missing(words: str, error: ApiError) -> KubernetesError:
    if words.startswith("modeldeployments.fastchat.io "):
        return DeploymentNotFoundError(
            f"{words}: list tells which there are, and in which namespace is looked",
            status_code=404,
            reason=error.reason,
        )
    no_crd = "could not find the requested resource" in words or "page not found" in words
    return KubernetesError(_NO_CRD if no_crd else words, status_code=404, reason=error.reason)


def _unreachable(error: ApiError, server: str) -> KubernetesError:
    where = f" at {server}" if server else ""
    words = _line(str(error)).removeprefix("the Kubernetes API was not reached: ")
    return KubernetesError(
        f"the Kubernetes API{where} was not reached: {words}. "
        "Does the cluster run? KUBECONFIG and its context say which one is meant."
    )


def _line(text: str) -> str:
    return "; ".join(line.strip().removeprefix("* ") for line in text.splitlines() if line.strip())
