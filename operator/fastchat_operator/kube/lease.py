"""Leader election: of several operators the one that holds the Lease acts.

https://kubernetes.io/docs/concepts/architecture/leases/ . kubernetes.aio's own election (37.0) ends when the API server
is away for a moment, writes local time as UTC, and does not give the Lease back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from fastchat._kube import request
from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Kind
from fastchat_operator.kube.api import Api
from fastchat_operator.settings import LeaderElection

logger = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Another operator may act from now on."""


LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")


class Lease:
    """A Lease that this operator holds or waits for."""

    def __init__(self, api: Api, settings: LeaderElection, namespace: str, identity: str) -> None:
        self._api = api
        self._settings = settings
        self._namespace = namespace
        self._identity = identity
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0
        self._leader = ""

    async def hold(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, then `act` until it ends or fails; raises LeaseLostError."""
        while not await self._try():  # noqa: ASYNC110  # only the API server knows
            await asyncio.sleep(self._settings.renew_seconds)
        acting, keeping = asyncio.create_task(act()), asyncio.create_task(self._keep())
        try:
            await asyncio.wait([acting, keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = keeping.done()
            keeping.cancel()
            acting.cancel()
            await asyncio.gather(keeping, acting, return_exceptions=True)
            if not lost:
                await self._give_back()
        if lost:
            raise LeaseLostError(f"the Lease {self._settings.name} was not renewed in time")
        acting.result()

    async def _keep(self) -> None:
        """Renew it; returns when that has not worked for two thirds of its duration, before another may take it."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._settings.renew_seconds)
            left = renewed + self._settings.lease_seconds * 2 / 3 - time.monotonic()
            try:
                async with asyncio.timeout(left):
                    renewed = await self._renew()
            except TimeoutError:
                return

    async def _renew(self) -> float:
        """Try until it works. Returns when the try that worked began: from then on others count its duration."""
        began = time.monotonic()
        while not await self._try():
            await asyncio.sleep(self._settings.renew_seconds)
            began = time.monotonic()
        return began

    async def _try(self) -> bool:
        """Take or renew it. Returns whether it is ours now: not where another holds it or the API was not reached."""
        try:
            async with asyncio.timeout(self._settings.lease_seconds / 3):
                lease = await self._api.get(LEASE, self._namespace, str(self._settings.name))
                spec = (lease or {}).get("spec", {})
                if not self._free(spec):
                    self._note(spec["holderIdentity"])
                    return False
                await self._write(self._body((lease or {}).get("metadata", {}), spec), new=lease is None)
                self._note(self._identity)
                return True
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease %s was not written: %s", self._settings.name, error or "no response")
            return False

    def _note(self, leader: str) -> None:
        if leader != self._leader:
            self._leader = leader
            logger.info("%s leads", leader)

    def _free(self, spec: Mapping[str, Any]) -> bool:
        """Whether it may be taken: it is ours, has no holder, or was not renewed for its whole duration, by our clock.

        The times in it are not compared with ours, because clocks differ.
        """
        state = (spec.get("holderIdentity"), spec.get("renewTime"))
        if state != self._seen:
            self._seen, self._seen_at = state, time.monotonic()
        if not state[0] or state[0] == self._identity:
            return True
        lasts: int = spec.get("leaseDurationSeconds", self._settings.lease_seconds)
        return time.monotonic() - self._seen_at > lasts

    async def _give_back(self) -> None:
        """Clear the holder, so that another operator need not wait until the Lease runs out."""
        try:
            async with asyncio.timeout(2):
                lease = await self._api.get(LEASE, self._namespace, str(self._settings.name))
                if lease and lease["spec"].get("holderIdentity") == self._identity:
                    body = self._body(lease["metadata"], lease["spec"])
                    body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._write(body, new=False)
        except (ApiError, TimeoutError):
            logger.warning("the Lease %s was not given back; it runs out by itself", self._settings.name)

    def _body(self, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._settings.name, "namespace": self._namespace, **metadata},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._settings.lease_seconds,
                "acquireTime": spec.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if same else 1),
            },
        }

    async def _write(self, body: dict[str, Any], *, new: bool) -> None:
        """With the resourceVersion that was read, so that of two who try at once one is refused."""
        await self._api.send(request.create(LEASE, body) if new else request.replace(LEASE, body))
