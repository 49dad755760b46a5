"""The token with which gateways, workers and the operator authenticate to each other: a Secret per namespace."""

import asyncio
import base64
import binascii
import logging
import secrets
import time
from collections import defaultdict
from typing import Any

from fastchat._kube import request
from fastchat._kube.kind import Object
from fastchat.v1alpha1.names import INTERNAL
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import SECRET
from fastchat_operator.kube.meta import is_ours, make

logger = logging.getLogger(__name__)

_ENTRY = "token"


def variable(name: str) -> dict[str, Any]:
    """Environment variable of a container that holds the token."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": INTERNAL, "key": _ENTRY}}}


class Tokens:
    """Tokens by namespace. Secrets are not watched, which would take the right to read all; each is read by name.

    One that was deleted is put back as it was, because it is in the environment of everything that runs.
    """

    def __init__(self, api: Api, trust_seconds: float) -> None:
        """A Secret is not looked at again for `trust_seconds`."""
        self._api = api
        self._trust_seconds = trust_seconds
        self._known: dict[str, str] = {}
        self._looked_at: dict[str, float] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def find(self, namespace: str) -> str | None:
        """The token; None: it is not known yet."""
        return self._known.get(namespace)

    async def ensure(self, namespace: str) -> None:
        """Make the namespace's Secret, or put its token back, unless it was looked at lately; raises ApiError."""
        async with self._locks[namespace]:
            now = time.monotonic()
            if now - self._looked_at.get(namespace, -self._trust_seconds) < self._trust_seconds:
                return
            there = await self._api.get(SECRET, namespace, INTERNAL)
            token = _read(there) or self._known.get(namespace) or secrets.token_urlsafe(32)
            if not _read(there):
                await self._write(_secret(namespace, token), new=there is None)
            self._known[namespace] = token
            self._looked_at[namespace] = now

    async def remove(self, namespace: str) -> None:
        """Delete the namespace's Secret, if it is ours; raises ApiError."""
        async with self._locks[namespace]:
            there = await self._api.get(SECRET, namespace, INTERNAL)
            if there is not None and is_ours(there):
                await self._api.delete(SECRET, namespace, INTERNAL)
            self._known.pop(namespace, None)
            self._looked_at.pop(namespace, None)

    async def _write(self, secret: dict[str, Any], *, new: bool) -> None:
        """A new one by POST: of two operators that make one at once, one is refused."""
        namespace = secret["metadata"]["namespace"]
        if new:
            await self._api.send(request.create(SECRET, secret))
        else:
            await self._api.apply(secret)
        logger.info("Secret %s/%s: %s", namespace, INTERNAL, "created" if new else "given its token back")


def _secret(namespace: str, token: str) -> dict[str, Any]:
    data = {_ENTRY: base64.b64encode(token.encode()).decode()}
    return make(SECRET, namespace, INTERNAL, {}, type="Opaque", data=data)


def _read(there: Object | None) -> str:
    """The token in a Secret; empty where there is none, or one with characters that no HTTP header takes."""
    try:
        token = base64.b64decode((there or {}).get("data", {}).get(_ENTRY, ""), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return token if token.isprintable() and " " not in token else ""
