"""`fastchat keys create`, `list`, `delete`: API keys of a namespace's gateway, or of a folder."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastchat.keys import store
from fastchat.keys.record import KeyRecord, digest, new_key
from fastchat.local.progress import table


def add_to(commands: Any) -> None:
    about = "API keys of a namespace's gateway, or of a folder"
    verbs = commands.add_parser("keys", help=about, description=about).add_subparsers(required=True, metavar="VERB")
    place = argparse.ArgumentParser(add_help=False)
    where = place.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", metavar="NAME", help="whose gateway; default: the one kubectl is set to")
    where.add_argument("--dir", metavar="FOLDER", type=Path, help="a folder with files, instead of a cluster")
    place.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: the current one")
    place.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config")

    about = "make a key; it is printed once, alone on stdout, and only its hash is kept"
    create = verbs.add_parser("create", parents=[place], help="make a key", description=about)
    create.add_argument("name", metavar="NAME", help="what it is called in logs, metrics and messages")
    create.add_argument("--models", metavar="A,B", type=_names, help="models that it may use; default: all")
    create.add_argument("--requests-per-minute", metavar="N", type=_limit, help="default: no limit")
    create.add_argument("--tokens-per-minute", metavar="N", type=_limit, help="in and out; default: no limit")
    create.add_argument(
        "--max-concurrent", metavar="N", type=_limit, help="sequences at once, n for each prompt; default: no limit"
    )
    create.add_argument("--expires", metavar="WHEN", type=_expiry, help="2027-01-01 (UTC), or after 30d or 12h")
    create.add_argument("--replace", action="store_true", help="put it in the place of the one with this name")
    create.set_defaults(run=_create_key)

    about = "show names, limits and expiry of the keys"
    verbs.add_parser("list", parents=[place], help=about, description=about).set_defaults(run=_list_keys)

    about = "delete a key: who has it is served no longer"
    delete = verbs.add_parser("delete", parents=[place], help="delete a key", description=about)
    delete.add_argument("name", metavar="NAME")
    delete.add_argument("--last", action="store_true", help="even if none is left and everyone is served")
    delete.set_defaults(run=_delete_key)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"not names of models: {text!r}; it looks like vicuna,smollm2")
    return names


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 2**53):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _expiry(text: str) -> datetime:
    try:
        return store.expiry(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        message = f"not a time to come: {text!r}; it looks like 2027-01-01, 2027-01-01T12:00:00Z, 30d or 12h"
        raise argparse.ArgumentTypeError(message) from None


def _place(args: argparse.Namespace) -> store.Store:
    if args.dir is not None:
        return store.Folder(args.dir)
    return store.Secret(args.namespace, args.context, args.kubeconfig)


def _create_key(args: argparse.Namespace) -> None:
    key, place = new_key(), _place(args)
    record = KeyRecord(
        sha256=digest(key.encode()).hex(),
        models=args.models,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        max_concurrent=args.max_concurrent,
        expires=args.expires,
    )
    store.create(place, args.name, record, replace=args.replace)
    print(f"{args.name}: this is the only time that the key is shown; {place.soon}", file=sys.stderr)
    print(key)


def _list_keys(args: argparse.Namespace) -> None:
    head = ("NAME", "STATE", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE", "EXPIRES")
    rows = store.rows(_place(args).read(), datetime.now(UTC))
    print(table(head, rows) if rows else "no keys", file=sys.stdout if rows else sys.stderr)


def _delete_key(args: argparse.Namespace) -> None:
    place = _place(args)
    store.delete(place, args.name, last=args.last)
    print(f"{args.name} is deleted; {place.soon}", file=sys.stderr)
