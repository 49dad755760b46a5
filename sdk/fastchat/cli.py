"""The `fastchat` command."""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fastchat import __version__, up
from fastchat.manifest import ManifestError, read
from fastchat.plan import UpError, arrange, check, listen_port
from fastchat.progress import Terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a stop, 1 when it cannot be served, 2 for a wrong command line."""
    args = _parser().parse_args(argv)
    try:
        _up(args)
    except (ManifestError, UpError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastchat", description="Open models, called as you call OpenAI.")
    parser.add_argument("--version", action="version", version=f"fastchat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "up",
        help="serve ModelDeployment manifests on this machine",
        description="Serve ModelDeployment manifests on this machine: one gateway, and workers as the manifests say.",
    )
    command.add_argument("files", metavar="FILE.yaml", nargs="+", type=Path, help="manifests of ModelDeployments")
    command.add_argument("--host", default="127.0.0.1", help="address to serve on (%(default)s)")
    command.add_argument("--port", type=_port, default=8000, help="port to serve on, 0: a free one (%(default)s)")
    command.add_argument("-v", "--verbose", action="store_true", help="show what gateway and workers say")
    return parser


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
    plan = arrange([manifest.deployment for manifest in manifests], args.host, port, verbose=args.verbose)
    asyncio.run(up.run(plan, terminal, _show, verbose=args.verbose))


def _require(*modules: str) -> None:
    """Raise UpError where the parts of this distribution that run a model are not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UpError(f"{', '.join(missing)} not installed: pip install 'fastchat-k8s[gateway,worker]'")


def _show(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
