"""Runs an operator for as long as this process leads: alone, or of several the one that holds the Lease."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from fastchat._kube import location
from fastchat_operator import health, release
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.lease import Lease, LeaseLostError
from fastchat_operator.kube.scopes import Scopes
from fastchat_operator.kube.watch import WatchEndedError
from fastchat_operator.metrics import Metrics
from fastchat_operator.operator import Operator
from fastchat_operator.settings import Settings

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
Act = Callable[[], Coroutine[Any, Any, None]]


async def run(settings: Settings, health_port: int) -> None:
    """Operate until SIGTERM or SIGINT.

    Raises:
        ConfigException: There is neither a pod's configuration nor a KUBECONFIG.
        OtherReleaseError: Another release acts on the same namespaces.
        OSError: The health port is not free.
    """
    metrics, scopes = Metrics(), Scopes(settings.namespaces)
    probes = await health.serve(health_port, metrics, scopes)
    try:
        access = await asyncio.to_thread(location.for_a_program)
        async with Api(access) as api, Api(access) as election:
            operator = partial(Operator, api, settings, metrics, scopes)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.create_task(_lead(election, settings, operator))
        logger.info("stopped")
    finally:
        await probes.cleanup()


async def _lead(api: Api, settings: Settings, make: Callable[[], Operator]) -> None:
    """Act whenever the Lease is ours; a new Operator each time, which knows nothing of what the last one had read.

    `api` is for the Lease alone, which is renewed also while the API server refuses the rest. Raises OtherReleaseError.
    """
    _end_on_signals()
    await release.must_be_alone(api, settings)
    hold = _election(api, settings)
    while True:
        _end_on_signals()
        try:
            await hold(make().run)
        except (LeaseLostError, WatchEndedError) as error:
            logger.warning("%s; beginning again", error)
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
