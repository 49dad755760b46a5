"""What holds for every request: who may ask, and what is reported in the end; in between, who answers."""

import asyncio
import hmac
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from fastchat_gateway import call, demand
from fastchat_gateway.access_log import AccessLog
from fastchat_gateway.call import Call
from fastchat_gateway.catalog import Model
from fastchat_gateway.clock import Clock
from fastchat_gateway.drain import Drain
from fastchat_gateway.errors import Refused, invalid_api_key, overloaded, server_error, shutting_down
from fastchat_gateway.exchange import Exchange
from fastchat_gateway.keyring import Keyring
from fastchat_gateway.limits import Meter, may_use
from fastchat_gateway.relay import Lanes, Relay
from fastchat_gateway.tracing import Tracer

logger = logging.getLogger(__name__)

PROBES = frozenset({"/health", "/ready"})
"""Open to everyone, answered to the end, not reported."""

INTERNAL = frozenset({demand.PATH, "/metrics"})
"""Open to who knows the token that the gateway shares with operator and workers."""

INFERENCE: Mapping[str, bytes] = {
    "/v1/chat/completions": b"/v1/chat/completions",
    "/v1/completions": b"/v1/completions",
    "/v1/embeddings": b"/v1/embeddings",
    "/v1/create_embeddings": b"/v1/embeddings",
}
"""Our path → the worker's."""

_PATHS = {path.encode(): path for path in INFERENCE}
_PASSED_ON = (b"accept", b"user-agent")
_TRACE_HEADERS = (b"traceparent", b"tracestate")
_SETTLE_SECONDS = 0.1


class Swept(Protocol):
    """A client's connection."""

    def sweep(self, now: float) -> None:
        """Called about once a second."""


@dataclass(frozen=True)
class Limits:
    """What one client may take."""

    max_body_bytes: int
    max_buffered_bytes: int
    max_concurrent_requests: int
    header_seconds: float
    client_seconds: float
    upstream_seconds: float


class Gateway:
    """Inference goes to workers, everything else to the pages."""

    def __init__(
        self,
        lanes: Lanes,
        *,
        clock: Clock,
        drain: Drain,
        keyring: Keyring,
        meter: Meter,
        access_log: AccessLog | None,
        limits: Limits,
        open_paths: Iterable[str] = (),
        tracer: Tracer,
    ) -> None:
        self.clock = clock
        self.drain = drain
        self.limits = limits
        self.max_body_bytes = limits.max_body_bytes
        self.connections: set[Swept] = set()
        self.lanes = lanes
        self.keyring = keyring
        self._metrics = lanes.metrics
        self._meter = meter
        self._access_log = access_log
        self._tracer = tracer
        self._open_paths = PROBES.union(open_paths)
        self._buffered = 0
        self._to_settle: deque[Exchange] = deque()
        lanes.metrics.watch("open_connections", lambda: len(self.connections))
        lanes.metrics.watch("streams", lambda: sum(each.streams for each in drain.in_flight))
        lanes.metrics.watch("keys", lambda: len(keyring))

    @staticmethod
    def known_path(url: bytes) -> str | None:
        """The path of a URL that is taken as it is."""
        return _PATHS.get(url)

    def take_memory(self, size: int) -> bool:
        """Room for a piece of a body; False where all bodies together would take too much."""
        if self._buffered + size > self.limits.max_buffered_bytes:
            return False
        self._buffered += size
        return True

    def give_memory(self, size: int) -> None:
        self._buffered -= size

    def accept(self, exchange: Exchange, *, is_new: bool) -> bool:
        """Answer a request, or see to it that it is answered; True: it is for the pages.

        `is_new`: it came on a connection made after the gateway began to stop.
        """
        if exchange.path in PROBES:
            return True
        self.drain.enter(exchange)
        try:
            return self._begin(exchange, is_new=is_new)
        except Refused as refused:
            exchange.refuse(refused)
        except Exception:
            logger.exception("request %s %s failed", exchange.request_id.decode(), exchange.path)
            exchange.refuse(server_error())
        return False

    def _begin(self, exchange: Exchange, *, is_new: bool) -> bool:
        self._identify(exchange)
        if is_new and self.drain.draining:
            raise shutting_down()
        if len(self.drain) > self.limits.max_concurrent_requests:
            raise overloaded()
        path = INFERENCE.get(exchange.path)
        if path is None or exchange.method != "POST":
            return True
        self._infer(exchange, path)
        return False

    def is_over(self) -> bool:
        """It stops, and nothing is in flight any more."""
        return self.drain.draining and not len(self.drain)

    def _identify(self, exchange: Exchange) -> None:
        """Whose request it is; raises Refused."""
        authorization = exchange.headers.get(b"authorization", b"")
        token = self.lanes.token
        if token is not None and exchange.path in INTERNAL:
            if hmac.compare_digest(authorization, b"Bearer " + token):
                return
            if exchange.path == demand.PATH:
                raise invalid_api_key()
        if exchange.path not in self._open_paths:
            exchange.account = self.keyring.find(authorization, time.time())

    def _infer(self, exchange: Exchange, path: bytes) -> None:
        name, stream = call.read(exchange.body)
        model = self.admit(exchange, name)
        exchange.model = model.name
        trace = exchange.trace = self._tracer.begin(exchange.headers)
        known = passed_on(exchange, with_trace=trace is None)
        outgoing = Call(name, path, exchange.body, known, stream, exchange.account.name, trace)
        exchange.relay = Relay(self.lanes, outgoing, exchange, model, chunks=stream and exchange.takes_chunks)
        exchange.relay.start()

    def admit(self, exchange: Exchange, name: str) -> Model:
        """The model of this name, if the request's key may use it now; raises Refused."""
        key, model = exchange.account, self.lanes.catalog.find(name)
        now = time.monotonic()
        if not exchange.admitted:
            self._meter.admit(key, model.name if model else name, now, name=name)
            exchange.admitted = True
            exchange.extra += self._meter.headers(key, now)
        elif not may_use(key, model.name if model else name, name):
            self._meter.admit(key, model.name if model else name, now, name=name)
        if model is None:
            raise self.lanes.catalog.unknown(name)
        return model

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over, however it ended."""
        if exchange.path in PROBES:
            return
        self.drain.leave(exchange)
        if exchange.admitted:
            self._meter.release(exchange.account)
        exchange.duration = time.perf_counter() - exchange.started
        if exchange.account.tokens_per_minute is not None and exchange.status == 200:
            self._meter.charge(exchange.account, sum(exchange.usage()), time.monotonic())
        if exchange.trace is not None:
            outcome = _outcome(exchange, exchange.status or 499)
            about = exchange.model, exchange.account.name, exchange.endpoint
            exchange.trace.end(exchange.path, exchange.status or 499, outcome, *about)
        if not self._to_settle:
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self.settle)
        self._to_settle.append(exchange)

    def settle(self) -> None:
        """Count and write down what is over: a few times a second, not while somebody waits."""
        while self._to_settle:
            self._report(self._to_settle.popleft())

    def sweep(self) -> None:
        """Called about once a second: end what takes too long."""
        now = self.clock.now
        for connection in list(self.connections):
            connection.sweep(now)
        self.lanes.pool.sweep(self.limits.upstream_seconds)
        self.lanes.catalog.sweep(now)

    def _report(self, exchange: Exchange) -> None:
        route = exchange.path if exchange.path in INFERENCE else "other"
        status = exchange.status or 499  # nginx's number for a client that did not wait
        outcome = _outcome(exchange, status)
        key = exchange.account.name
        self._metrics.request(exchange.model, route, status, outcome, key)
        self._metrics.times(exchange.model, route, exchange.first_byte, exchange.duration)
        if exchange.model and status == 200:
            self._metrics.tokens(exchange.model, key, *exchange.usage())
        if self._access_log is not None:
            self._access_log.write(_line(exchange, status, outcome))


def passed_on(exchange: Exchange, *, with_trace: bool = True) -> tuple[tuple[bytes, bytes], ...]:
    """What the worker gets to know of the client's head; without a trace of our own, the client's."""
    given = exchange.headers
    headers = [(b"x-request-id", exchange.request_id)]
    names = (*_PASSED_ON, *_TRACE_HEADERS) if with_trace else _PASSED_ON
    headers += [(name, given[name]) for name in names if name in given]
    return tuple(headers)


def _outcome(exchange: Exchange, status: int) -> str:
    if exchange.stopped is not None:
        return exchange.stopped
    if status >= 400:
        return "client_error" if status < 500 else "server_error"
    return "broken" if exchange.broken else "ok"


def _line(exchange: Exchange, status: int, outcome: str) -> dict[str, object]:
    first_byte = exchange.first_byte
    return {
        "time": datetime.fromtimestamp(exchange.came, UTC).isoformat(timespec="milliseconds"),
        "request_id": exchange.request_id.decode(),
        "method": exchange.method,
        "path": exchange.path[:256],
        "model": exchange.model,
        "key": exchange.account.name,
        "endpoint": exchange.endpoint,
        "status": status,
        "outcome": outcome,
        "ttfb_ms": None if first_byte is None else round(first_byte * 1000, 2),
        "duration_ms": round(exchange.duration * 1000, 2),
        "bytes": exchange.sent,
    }
