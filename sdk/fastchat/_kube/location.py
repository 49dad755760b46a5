"""Which API server is meant: that of the pod that this is, or that of a kubeconfig."""

from fastchat._kube import kubeconfig as files
from fastchat._kube.access import Access, in_cluster
from fastchat._kube.errors import CredentialsError


def for_a_program(kubeconfig: str | None = None) -> Access:
    """The kubeconfig that is named, else the pod's own, else KUBECONFIG or the one in the home folder.

    Raises CredentialsError; may take its time.
    """
    if kubeconfig is None and (access := in_cluster()) is not None:
        return access
    return _by_kubeconfig(kubeconfig, None)


def for_a_person(kubeconfig: str | None = None, context: str | None = None) -> Access:
    """As kubectl does: a kubeconfig where there is one, else the pod's own. Raises CredentialsError."""
    if not kubeconfig and not context and not files.paths() and (access := in_cluster()) is not None:
        return access
    return _by_kubeconfig(kubeconfig, context)


def _by_kubeconfig(kubeconfig: str | None, context: str | None) -> Access:
    found = files.paths(kubeconfig)
    if not found:
        raise CredentialsError("there is no kubeconfig: KUBECONFIG or ~/.kube/config says where the cluster is")
    return files.load(found, context)
