"""Which cluster and namespace a command is about."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastchat.deployments import Deployments

Name = Annotated[str, typer.Argument(metavar="NAME", help="of the ModelDeployment", show_default=False)]


def opened(namespace: str | None, context: str | None, kubeconfig: str | None) -> "Deployments":
    """The ModelDeployments of that namespace; a context."""
    from fastchat.deployments import Deployments

    return Deployments(namespace, context=context, kubeconfig=kubeconfig)
