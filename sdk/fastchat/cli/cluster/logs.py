"""`fastchat logs NAME`: what the workers of a ModelDeployment write, or the namespace's gateway."""

from typing import Annotated

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import opened
from fastchat.cli.console import show, show_json
from fastchat.cli.errors import CommandError

MaybeName = Annotated[str | None, typer.Argument(metavar="NAME", help="of the ModelDeployment", show_default=False)]
OfGateway = Annotated[bool, typer.Option("--gateway", help="of the namespace's gateway instead")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="go on with what is written, until Ctrl-C")]
Tail = Annotated[
    int | None,
    typer.Option("--tail", metavar="N", parser=options.whole_number(0), help="last lines of each pod; default: all"),
]
Previous = Annotated[bool, typer.Option("--previous", "-p", help="of the container before it was last restarted")]


def logs(
    name: MaybeName = None,
    gateway: OfGateway = False,
    follow: Follow = False,
    tail: Tail = None,
    previous: Previous = False,
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Print the logs of a ModelDeployment's workers, each line with its pod's name before it."""
    if gateway == (name is not None):
        raise typer.BadParameter("give the NAME of a ModelDeployment, or --gateway")
    written = False
    with opened(namespace, context, kubeconfig) as there:
        for pod, text in there.logs(name, follow=follow, tail=tail, previous=previous):
            written = True
            show_json({"pod": pod, "text": text}) if json else show(f"{pod}  {text}")
    if not written:
        where = f"fastchat status {name} says why no worker runs" if name else "a namespace's first model brings one"
        raise CommandError(f"there is no log: {where}")
