"""`python -m fastchat_operator --config FILE`"""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fastchat._kube.errors import CredentialsError
from fastchat._runtime import log
from fastchat_operator import leader
from fastchat_operator.kube.watch import KopfLog
from fastchat_operator.release import OtherReleaseError
from fastchat_operator.settings import Settings, SettingsError

_DEEPEST = 25_000
"""The API server takes objects of 10,000 levels; one of a tenant's must not end the reading of all others."""


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    sys.setrecursionlimit(_DEEPEST)
    log.configure()
    logging.getLogger().handlers[0].addFilter(KopfLog())
    try:
        settings = Settings.load(args.config) if args.config else Settings()
        asyncio.run(leader.run(settings, args.health_port))
    except (SettingsError, CredentialsError, OtherReleaseError, OSError) as error:
        sys.exit(f"fastchat_operator: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastchat_operator", description="Makes ModelDeployment resources into workers and gateways."
    )
    parser.add_argument("--config", type=Path, help="YAML file with settings; default: the settings' own defaults")
    parser.add_argument(
        "--health-port", type=int, default=8080, help="port of /health, /ready and /metrics (default: 8080)"
    )
    return parser


if __name__ == "__main__":
    main()
