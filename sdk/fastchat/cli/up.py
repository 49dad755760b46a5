"""`fastchat up FILE.yaml`: serve ModelDeployment manifests on this machine."""

import argparse
import asyncio
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastchat._runtime.interrupt import end_quietly
from fastchat.local import supervisor
from fastchat.local.manifest import read
from fastchat.local.plan import UpError, check, listen_port, make_plan
from fastchat.local.progress import Terminal


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "up",
        help="serve ModelDeployment manifests on this machine",
        description="Serve ModelDeployment manifests on this machine: one gateway, and workers as the manifests say.",
    )
    command.add_argument("files", metavar="FILE.yaml", nargs="+", type=Path, help="manifests of ModelDeployments")
    command.add_argument("--host", default="127.0.0.1", help="address to serve on (%(default)s)")
    command.add_argument("--port", type=_port, default=8000, help="port to serve on, 0: a free one (%(default)s)")
    command.add_argument(
        "--keys-dir", metavar="FOLDER", help="serve only these API keys: what `fastchat keys --dir` writes"
    )
    several = {"action": "append", "default": []}
    about = "whose web pages may send requests, *: all (default: no others)"
    command.add_argument("--allowed-origins", metavar="ORIGIN,…", help=about, **several)
    about = "further names that requests may use for this host, *: any (default: on loopback, this machine's own)"
    command.add_argument("--allowed-hosts", metavar="HOST,…", help=about, **several)
    command.add_argument("-v", "--verbose", action="store_true", help="show what gateway and workers say")
    command.set_defaults(run=_up)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _up(args: argparse.Namespace) -> None:
    terminal = Terminal(sys.stderr, shutil.get_terminal_size().columns)
    manifests = read(args.files, terminal.line)
    check(manifests, terminal.line)
    port = listen_port(args.host, args.port)
    _require("aiohttp", "sentence_transformers", "torch", "transformers", "uvicorn")
    plan = make_plan(
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
    asyncio.run(supervisor.run(plan, terminal, _show, verbose=args.verbose))
    end_quietly()  # asyncio has restored Python's own handler of Ctrl-C


def _require(*modules: str) -> None:
    """Raise UpError where the parts of this distribution that run a model are not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UpError(f"{', '.join(missing)} not installed: pip install 'fastchat-k8s[gateway,worker]'")


def _show(text: str) -> None:
    print(text, flush=True)
