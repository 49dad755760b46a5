"""`python -m fastchat_operator --config FILE`"""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes.aio.config import ConfigException

from fastchat_operator import health, release
from fastchat_operator.kube.api import Api, configure
from fastchat_operator.kube.lease import Lease, LeaseLostError
from fastchat_operator.kube.scopes import Scopes
from fastchat_operator.kube.watch import KopfLog, WatchEndedError
from fastchat_operator.metrics import Metrics
from fastchat_operator.operator import Operator
from fastchat_operator.release import OtherReleaseError
from fastchat_operator.settings import Settings, SettingsError

log = logging.getLogger("fastchat_operator")

_PAUSE_SECONDS = 1.0
_DEEPEST = 25_000
"""The API server takes objects of 10,000 levels; one of a tenant's must not end the reading of all others."""
Act = Callable[[], Coroutine[Any, Any, None]]


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    sys.setrecursionlimit(_DEEPEST)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger().handlers[0].addFilter(KopfLog())
    try:
        settings = Settings.load(args.config) if args.config else Settings()
        asyncio.run(_run(settings, args.health_port))
    except (SettingsError, ConfigException, OtherReleaseError, OSError) as error:
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
    metrics, scopes = Metrics(), Scopes(settings.namespaces)
    probes = await health.serve(health_port, metrics, scopes)
    try:
        configuration = await configure()
        async with Api(configuration) as api, Api(configuration) as election:
            operator = partial(Operator, api, settings, metrics, scopes)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.create_task(_lead(election, settings, operator))
        log.info("stopped")
    finally:
        await probes.cleanup()


async def _lead(api: Api, settings: Settings, make: Callable[[], Operator]) -> None:
    """Act whenever the Lease is ours. With a lost one, or a watch that ended, whatever was known is read again.

    Raises OtherReleaseError. `api` is for the Lease alone, which is renewed also while the API server refuses the rest.
    """
    _end_on_signals()
    await release.must_be_alone(api, settings)
    hold = _election(api, settings)
    while True:
        _end_on_signals()
        try:
            await hold(make().run)
        except (LeaseLostError, WatchEndedError) as error:
            log.warning("%s; beginning again", error)
            _end_on_signals()
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


def _election(api: Api, settings: Settings) -> Callable[[Act], Awaitable[None]]:
    """Runs what is given to it, while it leads."""
    if settings.leader_election.name is None:
        return lambda act: act()
    namespace = os.environ.get("POD_NAMESPACE", "default")
    identity = os.environ.get("POD_NAME") or f"{os.uname().nodename}-{os.getpid()}"
    return Lease(api, settings.leader_election, namespace, identity).hold


def _end_on_signals() -> None:
    """Cancel this task on SIGTERM and SIGINT; kopf, while it runs, waits for them itself."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # called from one
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


if __name__ == "__main__":
    main()
