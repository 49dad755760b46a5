"""kopf, which only watches for the operator: how it is set up, and what of its log is worth reading."""

import asyncio
import base64
import itertools
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import kopf

from fastchat._kube import location
from fastchat._kube.errors import CredentialsError
from fastchat._kube.kind import Kind
from fastchat.v1alpha1.names import MANAGED_BY
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT, REPLICA_SET, WATCHED
from fastchat_operator.kube.meta import gateway_labels

logger = logging.getLogger(__name__)

_SILENT_SECONDS = 60.0


def selector(kind: Kind) -> str:
    """Labels of what is watched: all ModelDeployments, of ReplicaSets those of gateways, else what is ours."""
    if kind == MODEL_DEPLOYMENT:
        return ""
    labels = MANAGED_BY | (gateway_labels() if kind == REPLICA_SET else {})
    return ",".join(f"{name}={value}" for name, value in labels.items())


class WatchEndedError(Exception):
    """A watch of kopf has ended for good: nothing is heard any more until a new Operator runs."""


class _Backoffs:
    """Delays between tries of kopf's calls, without end: the API server may be away for as long as it likes.

    A Retry-After of the API server that is longer takes the place of a delay.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain([0.2, 0.5, 1, 2], itertools.repeat(5))


class _NoDiffs(kopf.DiffBaseStorage):
    """Handlers of changes would need copies of every object to compare; these only watch."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""


def kopf_settings() -> kopf.OperatorSettings:
    """A watch ends after half a minute, by the server or, where its connection died in silence, by us."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill the process, which goes on to wait for the Lease
    settings.watching.server_timeout = 30
    settings.watching.inactivity_timeout = 35
    settings.watching.client_timeout = 40
    settings.watching.connect_timeout = 5
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 20
    settings.networking.error_backoffs = _Backoffs()
    settings.scanning.disabled = True  # neither namespaces nor CRDs need watching, nor the rights for it
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffs()
    for kind in WATCHED:
        if labels := selector(kind):
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = labels
    return settings


async def log_in(**_: Any) -> kopf.ConnectionInfo | None:
    """What kopf is to know of the cluster, now and whenever it was not accepted; None ends its watches."""
    try:
        return await asyncio.to_thread(_connection)
    except CredentialsError as error:
        logger.warning("%s", error)
        return None


def _connection() -> kopf.ConnectionInfo:
    access = location.for_a_program()
    scheme, _, token = (access.credentials.authorization() or "").partition(" ")
    shown = access.credentials.certificate()
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=base64.b64encode(access.authority) if access.authority else None,
        insecure=not access.verify,
        scheme=scheme or None,
        token=token or None,
        certificate_data=base64.b64encode(shown.certificate) if shown else None,
        private_key_data=base64.b64encode(shown.key) if shown else None,
        default_namespace=access.namespace,
        proxy_url=access.proxy,
    )


class KopfLog(logging.Filter):
    """Lets pass why a watch fails, without a traceback and once a minute, because kopf tries again for ever.

    Failed lists are left out: the operator lists the same kinds and logs that itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kopf"):
            return True
        text = record.getMessage()
        if record.levelno < logging.WARNING or ("will retry" in text and "watch=true" not in text):
            return False
        record.msg, record.args, record.exc_info = _brief(text), (), None
        now = time.monotonic()
        self._told = {said: when for said, when in self._told.items() if now - when < _SILENT_SECONDS}
        return self._told.setdefault(record.msg, now) == now


def _brief(text: str) -> str:
    """The message without what makes it long or different each time: number of the attempt, query, repeated body."""
    text = re.sub(r"attempt #\d+", "attempt", text)
    text = re.sub(r"\?\S*", "", text)
    return re.sub(r", \{'kind'.*", ")", text, flags=re.DOTALL)
