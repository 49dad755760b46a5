"""`python -m fastchat_operator --config FILE`"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kubernetes.aio.config import ConfigException

from fastchat_operator import health
from fastchat_operator.api import Api, configure
from fastchat_operator.lease import Lease, LeaseLostError
from fastchat_operator.operator import Operator
from fastchat_operator.settings import Settings, SettingsError

log = logging.getLogger("fastchat_operator")


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = Settings.load(args.config) if args.config else Settings()
        asyncio.run(_run(settings, args.health_port))
    except (SettingsError, ConfigException, LeaseLostError, OSError) as error:
        sys.exit(f"fastchat_operator: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastchat_operator", description="Makes ModelDeployment resources into workers and gateways."
    )
    parser.add_argument("--config", type=Path, help="YAML file with settings; default: the settings' own defaults")
    parser.add_argument("--health-port", type=int, default=8080, help="port of /health and /ready (default: 8080)")
    return parser


async def _run(settings: Settings, health_port: int) -> None:
    """Operate until SIGTERM or SIGINT; kopf, once it runs, waits for them itself."""
    probes = await health.serve(health_port)
    try:
        async with Api(await configure()) as api:
            working = asyncio.create_task(_lead(api, settings))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, working.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await working
        log.info("stopped")
    finally:
        await probes.cleanup()


async def _lead(api: Api, settings: Settings) -> None:
    operator = Operator(api, settings)
    if settings.leader_election.name is None:
        await operator.run()
        return
    namespace = os.environ.get("POD_NAMESPACE", "default")
    identity = os.environ.get("POD_NAME") or f"{os.uname().nodename}-{os.getpid()}"
    await Lease(api, settings.leader_election, namespace, identity).hold(operator.run)


if __name__ == "__main__":
    main()
