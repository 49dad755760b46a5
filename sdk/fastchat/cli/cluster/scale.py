"""`fastchat scale NAME N` and `fastchat delete NAME`."""

from typing import Annotated

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import Name, opened
from fastchat.cli.cluster.shown import as_json
from fastchat.cli.console import say, show_json

Replicas = Annotated[
    int, typer.Argument(metavar="N", parser=options.whole_number(0, 1000), help="workers", show_default=False)
]


def scale(
    name: Name,
    replicas: Replicas,
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Set the number of workers of a ModelDeployment."""
    with opened(namespace, context, kubeconfig) as there:
        scaled = there.scale(name, replicas)
    if json:
        return show_json(as_json(scaled))
    note = "; its autoscaling changes that when the demand does" if scaled.spec.autoscaling else ""
    return say(f"{name} is to have {replicas} worker{'' if replicas == 1 else 's'}{note}")


def delete(
    name: Name,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Delete a ModelDeployment; its workers finish what they have, and go."""
    with opened(namespace, context, kubeconfig) as there:
        there.delete(name)
        say(f"{name} in {there.namespace} is deleted; its workers go")
