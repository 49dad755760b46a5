"""Options that several commands have, and what is accepted for their values."""

from collections.abc import Callable
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table or text")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="in the cluster; default: the one kubectl is set to"),
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="of the kubeconfig; default: the current one")
]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="the server; default: FASTCHAT_BASEURL, or http://localhost:8000",
        show_default=False,
    ),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", metavar="KEY", help="default: FASTCHAT_API_KEY")]
OfServer = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="the gateway of this namespace, through the Kubernetes API"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="default: the first that the server has for it"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="a parameter of the requests, such as temperature=0"),
]
System = Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="the system prompt")]


def whole_number(low: int, high: int = 2**53) -> Callable[[str | int], int]:
    """What accepts a whole number within these bounds, both included; raises typer.BadParameter for others.

    typer gives it defaults as well, as they are.
    """

    def parse(said: str | int) -> int:
        text = str(said)
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            limits = f"of {low} or more" if high == 2**53 else f"from {low} to {high}"
            raise typer.BadParameter(f"{text!r} is not a whole number {limits}")
        return int(text)

    return parse


def names(text: str) -> list[str]:
    """Names of models, separated by commas; raises typer.BadParameter where one is empty."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise typer.BadParameter(f"not names of models: {text!r}; it looks like vicuna,smollm2")
    return found
