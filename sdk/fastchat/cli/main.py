"""The `fastchat` command: its arguments, and how it ends."""

import argparse
import sys
from collections.abc import Sequence

from fastchat._runtime.version import version
from fastchat.cli import keys, up
from fastchat.keys.store import KeysError
from fastchat.local.manifest import ManifestError
from fastchat.local.plan import UpError


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a stop, 1 when it cannot be done, 2 for a wrong command line, 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (ManifestError, UpError, KeysError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastchat", description="Open models, called as you call OpenAI.")
    parser.add_argument("--version", action="version", version=f"fastchat {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up.add_to(commands)
    keys.add_to(commands)
    return parser
