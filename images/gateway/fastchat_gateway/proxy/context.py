"""What all requests to workers need."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import quote

from fastchat._runtime.resuming import RESUMABLE_HEADER, RESUME_HEADER
from fastchat.v1alpha1.names import KEY_HEADER
from fastchat_gateway.proxy.resumption import ResumeBudget
from fastchat_gateway.routing.catalog import Catalog
from fastchat_gateway.telemetry.metrics import Metrics
from fastchat_gateway.workers.pool import Pool

_RESUMABLE = f"{RESUMABLE_HEADER}: 1\r\n".encode()
_RESUME = RESUME_HEADER.encode()


@dataclass(frozen=True)
class RelayContext:
    """One gateway's workers, its connections to them, and how it makes itself known to them."""

    catalog: Catalog
    pool: Pool
    metrics: Metrics
    comment_seconds: float
    token: bytes | None = None
    """What a worker knows this gateway by."""
    resuming: ResumeBudget | None = None
    """What may be kept of responses, so that they can be resumed; None: none are."""

    @cached_property
    def token_line(self) -> bytes:
        """The header line that tells it."""
        return b"" if self.token is None else b"authorization: Bearer %b\r\n" % self.token

    def identity(self, key: str) -> bytes:
        """Header lines that tell it, and whose request it is: only workers who know the token can believe that."""
        if self.token is None or not key:
            return self.token_line
        return self.token_line + _key_line(key)


def resume_lines(document: int) -> bytes:
    """Header lines that ask for a response that can be resumed, and say how long what comes before the body is."""
    return _RESUMABLE if not document else b"%b%b: %d\r\n" % (_RESUMABLE, _RESUME, document)


@lru_cache(maxsize=1024)
def _key_line(key: str) -> bytes:
    return f"{KEY_HEADER}: {quote(key, safe='')}\r\n".encode()
