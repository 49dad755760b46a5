"""`fastchat status NAME`: what there is to say of a ModelDeployment, once or until it serves."""

import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import Name, opened
from fastchat.cli.cluster.shown import as_json, details, line
from fastchat.cli.console import console, is_terminal, show, show_json

if TYPE_CHECKING:
    from rich.text import Text

    from fastchat.deployments import Deployments, ModelDeployment

Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="go on until all workers are ready; ends with 1 where they cannot be")
]
Patience = Annotated[
    int,
    typer.Option(
        "--patience",
        metavar="SECONDS",
        parser=options.whole_number(0),
        help="how long it may be in trouble before that is believed; where nodes are made on demand, what one takes",
    ),
]
PATIENCE_SECONDS = 10


def status(
    name: Name,
    watch: Watch = False,
    patience: Patience = PATIENCE_SECONDS,
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Show a ModelDeployment: its workers, the root cause where not all are ready, and how far a load is."""
    with opened(namespace, context, kubeconfig) as there:
        if watch:
            follow(there, name, json=json, patience=patience)
        elif json:
            show_json(as_json(there.get(name)))
        else:
            print_details(there.get(name))


def print_details(deployment: "ModelDeployment") -> None:
    if is_terminal(sys.stdout):
        console().print(_drawn(deployment))
    else:
        show("\n".join(f"{what:<12} {words}" for what, words, _ in details(deployment)))


def follow(there: "Deployments", name: str, *, json: bool, patience: float) -> None:
    """Show it whenever it has changed, until it is ready; a terminal has it in one place.

    Raises:
        FastChatError: it cannot get ready.
    """
    if is_terminal(sys.stdout) and not json:
        return _follow_live(there, name, patience)

    def tell(deployment: "ModelDeployment") -> None:
        show_json(as_json(deployment)) if json else show(line(deployment))

    there.wait_ready(name, timeout=math.inf, patience=patience, progress=tell)
    return None


def _follow_live(there: "Deployments", name: str, patience: float) -> None:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:

        def tell(deployment: "ModelDeployment") -> None:
            live.update(_drawn(deployment), refresh=True)

        there.wait_ready(name, timeout=math.inf, patience=patience, progress=tell)


def _drawn(deployment: "ModelDeployment") -> "Text":
    from rich.text import Text

    lines = [Text.assemble((f"{what:<12} ", "dim"), (words, style)) for what, words, style in details(deployment)]
    return Text("\n").join(lines)
