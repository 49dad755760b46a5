"""`fastchat keys create`, `list`, `delete`, `usage`: API keys of a namespace's gateway, or of a folder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastchat.cli import options
from fastchat.cli.console import say, show, show_json, show_table

if TYPE_CHECKING:
    from fastchat.keys.store import Store

app = typer.Typer(help="API keys of a namespace's gateway, or of a folder.", rich_markup_mode=None)

HEAD = ("NAME", "STATE", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE", "EXPIRES")
STYLES = {"valid": "green", "expired": "red", "broken": "red"}


def _expiry(text: str) -> datetime:
    from fastchat.keys.store import expiry

    try:
        return expiry(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        message = f"not a time to come: {text!r}; it looks like 2027-01-01, 2027-01-01T12:00:00Z, 30d or 12h"
        raise typer.BadParameter(message) from None


Folder = Annotated[
    Path | None, typer.Option("--dir", metavar="FOLDER", help="a folder with files, instead of a cluster")
]
Models = Annotated[
    Any,
    typer.Option("--models", metavar="A,B", parser=options.names, help="models that it may use; default: all"),
]
_limit = options.whole_number(1)
Requests = Annotated[
    int | None, typer.Option("--requests-per-minute", metavar="N", parser=_limit, help="default: no limit")
]
Tokens = Annotated[
    int | None, typer.Option("--tokens-per-minute", metavar="N", parser=_limit, help="in and out; default: no limit")
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--max-concurrent",
        metavar="N",
        parser=_limit,
        help="sequences at once, n for each prompt; default: no limit",
    ),
]
Expires = Annotated[
    Any, typer.Option("--expires", metavar="WHEN", parser=_expiry, help="2027-01-01 (UTC), or after 30d or 12h")
]
Operator = Annotated[bool, typer.Option("--operator", help="it may see all models, workers, keys and metrics")]
Replace = Annotated[bool, typer.Option("--replace", help="put it in the place of the one with this name")]
Last = Annotated[bool, typer.Option("--last", help="even if none is left and everyone is served")]


def _place(folder: Path | None, namespace: str | None, context: str | None, kubeconfig: str | None) -> "Store":
    """Where the keys are; raises typer.BadParameter where two places are named."""
    from fastchat.keys import store

    if folder is None:
        return store.Secret(namespace, context, kubeconfig)
    if namespace or context or kubeconfig:
        raise typer.BadParameter("a folder is in no cluster: give --dir, or --namespace, --context and --kubeconfig")
    return store.Folder(folder)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it is called in logs, metrics and messages")],
    models: Models = None,
    requests_per_minute: Requests = None,
    tokens_per_minute: Tokens = None,
    max_concurrent: AtOnce = None,
    expires: Expires = None,
    operator: Operator = False,
    replace: Replace = False,
    folder: Folder = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Make a key.

    It is printed once, alone on stdout, and only its hash is kept.
    """
    from fastchat.keys import store
    from fastchat.keys.record import KeyRecord, digest, new_key

    key, place = new_key(), _place(folder, namespace, context, kubeconfig)
    record = KeyRecord(
        sha256=digest(key.encode()).hex(),
        models=models,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_concurrent=max_concurrent,
        expires=expires,
        operator=operator or None,  # gateways of an older release lock out what they do not know
    )
    store.create(place, name, record, replace=replace)
    say(f"{name}: this is the only time that the key is shown; {place.soon}")
    show(key)


@app.command("list")
def list_keys(
    as_json: options.AsJson = False,
    folder: Folder = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Show names, limits and expiry of the keys."""
    from fastchat.keys import store

    rows = store.rows(_place(folder, namespace, context, kubeconfig).read(), datetime.now(UTC))
    if as_json:
        names = ("name", "state", "models", "requestsPerMinute", "tokensPerMinute", "maxConcurrent", "expires")
        show_json([dict(zip(names, map(_value, row), strict=True)) for row in rows])
    elif rows:
        show_table(HEAD, rows, STYLES)
    else:
        say("no keys")


def _value(cell: str) -> str | int | None:
    """What JSON has for a cell of the table."""
    return None if cell == "-" else int(cell) if cell.isdigit() else cell


@app.command("delete")
def delete_key(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    last: Last = False,
    folder: Folder = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Delete a key: who has it is served no longer."""
    from fastchat.keys import store

    place = _place(folder, namespace, context, kubeconfig)
    store.delete(place, name, last=last)
    say(f"{name} is deleted; {place.soon}")


@app.command("usage")
def show_usage(
    as_json: options.AsJson = False,
    url: options.Url = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> None:
    """Show requests and tokens of each key.

    They are counted since each gateway began, and those of all gateways of a namespace are added up. With --url one
    gateway is asked; it tells who has its internal token (FASTCHAT_INTERNAL_TOKEN).
    """
    from fastchat._client.settings import parse_base_url
    from fastchat.cli import usage
    from fastchat.cli.errors import CommandError

    if url and (namespace or context or kubeconfig):
        raise typer.BadParameter("--url and --namespace are two places: give one of them")
    try:
        found = usage.of_server(parse_base_url(url)) if url else usage.of_namespace(namespace, context, kubeconfig)
    except ValueError as error:
        raise CommandError(str(error)) from None
    rows = sorted(found.by_key.items())
    if as_json:
        show_json([{"key": name or None, **vars(used)} for name, used in rows])
    elif rows:
        head = ("KEY", "REQUESTS", "FAILED", "PROMPT TOKENS", "COMPLETION TOKENS")
        show_table(head, [(name or "(none)", *map(str, vars(used).values())) for name, used in rows])
    else:
        say("no requests yet")
