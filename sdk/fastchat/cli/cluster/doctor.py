"""`fastchat doctor`: what is wrong with FastChat in a cluster, and what to do about it."""

import sys

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import opened
from fastchat.cli.console import console, is_terminal, show, show_json

_MARKS = {"ok": ("✓", "green"), "unknown": ("?", "yellow"), "wrong": ("✗", "red")}


def doctor(
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Look for what is wrong with a cluster and a namespace, and say what to do; ends with 1 where anything is.

    It changes nothing. What you may not look at has a question mark.
    """
    from fastchat.cli.cluster.checks import CHECKS

    found = []
    with opened(namespace, context, kubeconfig) as there:
        for check in CHECKS:
            for finding in check(there):
                found.append(finding)
                if not json:
                    _print(*finding)
    if json:
        show_json([finding._asdict() for finding in found])
    if any(finding.state == "wrong" for finding in found):
        raise typer.Exit(1)


def _print(what: str, state: str, words: str, remedy: str) -> None:
    mark, style = _MARKS[state]
    do = f"\n  {'':<9} → {remedy}" if remedy else ""
    if not is_terminal(sys.stdout):
        return show(f"{mark} {what:<9} {words}{do}")
    from rich.text import Text

    return console().print(Text.assemble((f"{mark} ", style), (f"{what:<9} ", "bold"), words, (do, "cyan")))
