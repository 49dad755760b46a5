"""`fastchat list`: the ModelDeployments of a namespace, or of the cluster."""

from typing import Annotated

import typer

from fastchat.cli import options
from fastchat.cli.cluster.place import opened
from fastchat.cli.cluster.shown import STYLES, as_json, style
from fastchat.cli.console import say, show_json, show_table

Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="those of the whole cluster")]


def list_deployments(
    everywhere: Everywhere = False,
    json: options.AsJson = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Show the ModelDeployments of a namespace: how many workers are ready, and why others are not."""
    from fastchat.deployments.table import HEAD, row

    with opened(namespace, context, kubeconfig) as there:
        found = there.list(all_namespaces=everywhere)
        place = "this cluster" if everywhere else f"the namespace {there.namespace}"
    if json:
        return show_json([as_json(each) for each in found])
    if not found:
        return say(f"no ModelDeployments in {place}; fastchat deploy makes one")
    first = 0 if everywhere else 1
    styles = STYLES | {each.ready.reason: style(each.ready.reason) for each in found if each.ready}
    return show_table(HEAD[first:], [row(each)[first:] for each in found], styles)
