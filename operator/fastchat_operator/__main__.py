"""`python -m fastchat_operator --config FILE`"""

from fastchat.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

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
from fastchat_operator.metrics import Metrics
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
    except (SettingsError, ConfigException, OSError) as error:
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


async def _run(settings: Settings, health_port: int) -> None:
    """Operate until SIGTERM or SIGINT."""
    metrics = Metrics()
    probes = await health.serve(health_port, metrics)
    try:
        async with Api(await configure()) as api:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.create_task(_lead(api, settings, metrics))
        log.info("stopped")
    finally:
        await probes.cleanup()


async def _lead(api: Api, settings: Settings, metrics: Metrics) -> None:
    """Act whenever the Lease is ours. One that was lost is waited for anew: whatever was known is read again."""
    if settings.leader_election.name is None:
        await Operator(api, settings, metrics).run()
        return
    namespace = os.environ.get("POD_NAMESPACE", "default")
    identity = os.environ.get("POD_NAME") or f"{os.uname().nodename}-{os.getpid()}"
    lease = Lease(api, settings.leader_election, namespace, identity)
    while True:
        _end_on_signals()
        try:
            await lease.hold(Operator(api, settings, metrics).run)
        except LeaseLostError as lost:
            log.warning("%s; waiting for it again", lost)
        else:
            return


def _end_on_signals() -> None:
    """Cancel this task on SIGTERM and SIGINT; kopf, while it runs, waits for them itself."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # called from one
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


if __name__ == "__main__":
    main()
