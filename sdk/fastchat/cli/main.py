"""The `fastchat` command."""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastchat import __version__
from fastchat._runtime.interrupt import end_quietly
from fastchat.keys import store as keys
from fastchat.keys.record import KeyRecord, digest, new_key
from fastchat.local import supervisor as up
from fastchat.local.manifest import ManifestError, read
from fastchat.local.plan import UpError, arrange, check, listen_port
from fastchat.local.progress import Terminal, table


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a stop, 1 when it cannot be done, 2 for a wrong command line, 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (ManifestError, UpError, keys.KeysError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastchat", description="Open models, called as you call OpenAI.")
    parser.add_argument("--version", action="version", version=f"fastchat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands)
    _add_keys(commands)
    return parser


def _add_up(commands: Any) -> None:
    command = commands.add_parser(
        "up",
        help="serve ModelDeployment manifests on this machine",
        description="Serve ModelDeployment manifests on this machine: one gateway, and workers as the manifests say.",
    )
    command.add_argument("files", metavar="FILE.yaml", nargs="+", type=Path, help="manifests of ModelDeployments")
    command.add_argument("--host", default="127.0.0.1", help="address to serve on (%(default)s)")
    command.add_argument("--port", type=_port, default=8000, help="port to serve on, 0: a free one (%(default)s)")
    command.add_argument("--keys-dir", metavar="FOLDER", help="API keys to ask for: what `fastchat keys --dir` writes")
    several = {"action": "append", "default": []}
    about = "web pages of which may ask, *: of all (default: of no other)"
    command.add_argument("--allowed-origins", metavar="ORIGIN,…", help=about, **several)
    about = "further names under which it may be asked, *: any (default: this machine's own, where only it can ask)"
    command.add_argument("--allowed-hosts", metavar="HOST,…", help=about, **several)
    command.add_argument("-v", "--verbose", action="store_true", help="show what gateway and workers say")
    command.set_defaults(run=_up)


def _add_keys(commands: Any) -> None:
    about = "API keys of a namespace's gateway, or of a folder"
    verbs = commands.add_parser("keys", help=about, description=about).add_subparsers(required=True, metavar="VERB")
    place = argparse.ArgumentParser(add_help=False)
    where = place.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", metavar="NAME", help="whose gateway; default: the one kubectl is set to")
    where.add_argument("--dir", metavar="FOLDER", type=Path, help="a folder with files, instead of a cluster")

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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


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
        return keys.expiry(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        message = f"not a time to come: {text!r}; it looks like 2027-01-01, 2027-01-01T12:00:00Z, 30d or 12h"
        raise argparse.ArgumentTypeError(message) from None


def _up(args: argparse.Namespace) -> None:
    terminal = Terminal(sys.stderr, shutil.get_terminal_size().columns)
    manifests = read(args.files, terminal.line)
    check(manifests, terminal.line)
    port = listen_port(args.host, args.port)
    _require("aiohttp", "sentence_transformers", "torch", "transformers", "uvicorn")
    plan = arrange(
        [manifest.deployment for manifest in manifests],
        args.host,
        port,
        verbose=args.verbose,
        keys_dir=args.keys_dir,
        gateway_args=[
            *(word for origins in args.allowed_origins for word in ("--allowed-origins", origins)),
            *(word for hosts in args.allowed_hosts for word in ("--allowed-hosts", hosts)),
        ],
    )
    asyncio.run(up.run(plan, terminal, _show, verbose=args.verbose))
    end_quietly()  # asyncio has put Python's own way with Ctrl-C back


def _require(*modules: str) -> None:
    """Raise UpError where the parts of this distribution that run a model are not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UpError(f"{', '.join(missing)} not installed: pip install 'fastchat-k8s[gateway,worker]'")


def _store(args: argparse.Namespace) -> keys.Store:
    return keys.Secret(args.namespace) if args.dir is None else keys.Folder(args.dir)


def _create_key(args: argparse.Namespace) -> None:
    key, store = new_key(), _store(args)
    record = KeyRecord(
        sha256=digest(key.encode()).hex(),
        models=args.models,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        max_concurrent=args.max_concurrent,
        expires=args.expires,
    )
    keys.create(store, args.name, record, replace=args.replace)
    print(f"{args.name}: this is the only time that the key is shown; {store.soon}", file=sys.stderr)
    print(key)


def _list_keys(args: argparse.Namespace) -> None:
    head = ("NAME", "STATE", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE", "EXPIRES")
    rows = keys.rows(_store(args).read(), datetime.now(UTC))
    print(table(head, rows) if rows else "no keys", file=sys.stdout if rows else sys.stderr)


def _delete_key(args: argparse.Namespace) -> None:
    store = _store(args)
    keys.delete(store, args.name, last=args.last)
    print(f"{args.name} is deleted; {store.soon}", file=sys.stderr)


def _show(text: str) -> None:
    print(text, flush=True)
