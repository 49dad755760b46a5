"""What holds for every request: who may send it, which worker or page it is for, and what is reported in the end."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastchat._runtime.resuming import RESUME_HEADER
from fastchat.api.routes import ENGINE_EMBEDDINGS
from fastchat_gateway.access.cors import Cors
from fastchat_gateway.access.internal import INTERNAL, InternalAccess
from fastchat_gateway.access.keyring import Key, Keyring
from fastchat_gateway.access.limits import Meter, may_use
from fastchat_gateway.clock import Clock, timestamp
from fastchat_gateway.errors import (
    RefusedError,
    host_not_allowed,
    model_not_allowed,
    overloaded,
    server_error,
    shutting_down,
)
from fastchat_gateway.http.expansion import expand_aside, expand_at_once
from fastchat_gateway.proxy import body
from fastchat_gateway.proxy.attempts import Attempts
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.context import RelayContext
from fastchat_gateway.proxy.drain import Drain
from fastchat_gateway.proxy.exchange import Exchange
from fastchat_gateway.routing.catalog import Model
from fastchat_gateway.routing.paths import COMPLETIONS, GENERATES, INFERENCE, RERANKS, TOKENIZES, engine_in
from fastchat_gateway.telemetry.access_log import AccessLog
from fastchat_gateway.telemetry.access_record import AccessRecord
from fastchat_gateway.telemetry.tracing import Tracer

if TYPE_CHECKING:
    from fastchat_gateway.telemetry.trace import Trace

logger = logging.getLogger(__name__)

PROBES = frozenset({"/health", "/ready"})
"""Open to everyone, served even while the gateway stops, not reported."""

_RESUME = RESUME_HEADER.encode()
_REPORT_SECONDS = 0.1
_MOST_UNREPORTED = 64
"""Exchanges; to report so many takes a fraction of a millisecond."""


class Swept(Protocol):
    """A client's connection."""

    def sweep(self, now: float) -> None:
        """Called about once a second."""


@dataclass(frozen=True)
class ServerLimits:
    """What clients may take of this gateway, one by one and together; times in seconds."""

    max_body_bytes: int
    max_buffered_bytes: int
    max_concurrent_requests: int
    max_connections: int
    header_seconds: float
    client_seconds: float
    upstream_seconds: float


class Gateway:
    """Inference goes to workers, everything else to the pages."""

    def __init__(
        self,
        context: RelayContext,
        *,
        clock: Clock,
        drain: Drain,
        keyring: Keyring,
        meter: Meter,
        access_log: AccessLog | None,
        limits: ServerLimits,
        open_paths: Iterable[str] = (),
        hosts: Iterable[str] = (),
        cors: Cors | None = None,
        tracer: Tracer,
    ) -> None:
        """`hosts`: those that requests may name; none: all."""
        self.clock = clock
        self.drain = drain
        self.limits = limits
        self.max_body_bytes = limits.max_body_bytes
        self.connections: set[Swept] = set()
        self.context = context
        self.keyring = keyring
        self._metrics = context.metrics
        self._meter = meter
        self._access_log = access_log
        self._tracer = tracer
        self._internal = InternalAccess(context.token, keyring)
        self._open_paths = PROBES.union(open_paths)
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self._cors = cors
        self._buffered = 0
        self._in_flight = drain.in_flight
        self._unpacking: set[asyncio.Task[None]] = set()
        self._unreported: deque[Exchange] = deque()
        self._flush_timer: asyncio.TimerHandle | None = None
        context.metrics.watch("open_connections", lambda: len(self.connections))
        budget = context.resuming
        if budget is not None:
            context.metrics.watch("resume_bytes", lambda: budget.used)
        context.metrics.watch("streams", lambda: sum(each.streams for each in drain.in_flight))
        context.metrics.watch("keys", lambda: len(keyring))

    def take_memory(self, size: int) -> bool:
        """Room for a piece of a request; False where all requests together would take too much."""
        if self._buffered + size > self.limits.max_buffered_bytes:
            return False
        self._buffered += size
        return True

    def give_memory(self, size: int) -> None:
        self._buffered -= size

    def accept(self, exchange: Exchange, *, is_new: bool) -> bool:
        """Refuse a request, or begin to relay it; True: it is for the pages.

        `is_new`: it came on a connection made after the gateway began to stop.
        """
        self.allow_origin(exchange)
        if exchange.path in PROBES:
            return True
        self._in_flight.add(exchange)
        try:
            return self._begin(exchange, is_new=is_new)
        except RefusedError as refusal:
            exchange.refuse(refusal)
        except Exception:
            logger.exception("request %s %s failed", exchange.request_id.decode(), exchange.path)
            exchange.refuse(server_error())
        return False

    def allow_origin(self, exchange: Exchange) -> None:
        """Have its response, whatever it is, tell a browser which pages may read it."""
        if self._cors is not None:
            exchange.cors = self._cors.lines(exchange.head.named)

    def _begin(self, exchange: Exchange, *, is_new: bool) -> bool:
        if self._hosts:
            self._check_host(exchange.head.named.get(b"host", b""))
        if self._cors is not None and self._cors.is_preflight(exchange.head.method, exchange.head.named):
            exchange.respond(200, self._cors.preflight(exchange.head.named), b"")
            return False
        self._identify(exchange)
        if is_new and self.drain.draining:
            raise shutting_down()
        if len(self._in_flight) > self.limits.max_concurrent_requests:
            raise overloaded()
        head = exchange.head
        if head.method != "POST" or not (exchange.path in INFERENCE or self._is_for_engine(exchange)):
            return True
        if head.coding:
            self._infer_packed(exchange)
        else:
            self._infer(exchange)
        return False

    @staticmethod
    def _is_for_engine(exchange: Exchange) -> bool:
        """Its path names the model: it is noted, and the path from here on that of the route."""
        engine = engine_in(exchange.path)
        if engine is None:
            return False
        exchange.engine, exchange.path = engine, ENGINE_EMBEDDINGS.path
        return True

    def is_over(self) -> bool:
        """It stops, and nothing is in flight any more."""
        return self.drain.draining and not self._in_flight

    def _identify(self, exchange: Exchange) -> None:
        """Whose request it is; raises RefusedError."""
        path, bearer = exchange.path, exchange.head.bearer
        if path in self._open_paths:
            return
        if path not in INTERNAL:
            exchange.key = self.keyring.find(bearer, exchange.came)
        else:
            exchange.key = self._internal.admit(path, bearer, exchange.came)

    def _check_host(self, host: bytes) -> None:
        """A web page whose name has come to mean this machine (DNS rebinding) sends its own; raises RefusedError."""
        name = host.lower()
        end = name.find(b"]") + 1 if name.startswith(b"[") else name.find(b":")
        name = (name if end < 0 else name[:end]).rstrip(b".")
        if name not in self._hosts:
            raise host_not_allowed(host.decode("latin-1"))

    def _infer_packed(self, exchange: Exchange) -> None:
        """Relay a request whose body is compressed: at once, or when it has been expanded aside."""
        plain = expand_at_once(exchange.body, exchange.head.coding, self.max_body_bytes)
        if plain is not None:
            self._replace_body(exchange, plain)
            self._infer(exchange)
            return
        task = asyncio.get_running_loop().create_task(self._infer_unpacked(exchange))
        self._unpacking.add(task)
        task.add_done_callback(self._unpacking.discard)

    async def _infer_unpacked(self, exchange: Exchange) -> None:
        refusal: RefusedError | None = None
        try:
            await self.unpack(exchange)
            if not exchange.is_over:
                self._infer(exchange)
        except RefusedError as refused:
            refusal = refused
        except Exception:
            logger.exception("request %s %s failed", exchange.request_id.decode(), exchange.path)
            refusal = server_error()
        if refusal is not None and not exchange.is_over:
            exchange.refuse(refusal)

    async def unpack(self, exchange: Exchange) -> None:
        """Put the plain body in place of a compressed one; raises RefusedError."""
        most = self.max_body_bytes
        if not exchange.head.coding:
            return
        if not self.take_memory(most):
            raise overloaded()
        try:
            plain = await expand_aside(exchange.body, exchange.head.coding, most)
        finally:
            self.give_memory(most)
        if not exchange.is_over:
            self._replace_body(exchange, plain)

    def _replace_body(self, exchange: Exchange, plain: bytes) -> None:
        if not self.take_memory(len(plain) - exchange.request_bytes):
            raise overloaded()
        exchange.body, exchange.request_bytes = plain, len(plain)

    def _infer(self, exchange: Exchange) -> None:
        progress = None
        if _RESUME in exchange.head.named:
            progress, exchange.body = body.split(exchange.head.named[_RESUME], exchange.body)
        parameters = self._read_for_engine(exchange) if exchange.engine else body.read(exchange.body)
        path = INFERENCE[exchange.path]
        name, stream, generates = parameters.model, parameters.stream, path in GENERATES
        sequences = parameters.sequences if path in COMPLETIONS else 1
        if not generates:
            sequences = self._classify(exchange, path, sequences)
        exchange.sequences = sequences
        model = self.admit(exchange, name)
        if name != model.name:
            body.check_structure(exchange.body)  # it is put together anew under the model's own name
        exchange.model = model.name
        if path not in COMPLETIONS:
            exchange.note_style()
        trace = exchange.trace = self._tracer.begin(exchange.head.named)
        lines = exchange.to_worker(with_trace=trace is None)
        call = Call(name, path, exchange.body, lines, stream, key=exchange.key.name, sequences=sequences, trace=trace)
        call.is_resumable = generates
        call.progress = progress if stream and generates else None
        if stream and generates and path in COMPLETIONS:
            call.hides_usage, call.has_stream_options = not parameters.asks_for_usage, parameters.has_stream_options
        exchange.attempts = Attempts(self.context, call, exchange, model, chunks=stream and exchange.takes_chunks)
        exchange.attempts.start(exchange.started)

    @staticmethod
    def _read_for_engine(exchange: Exchange) -> body.Parameters:
        """The parameters of a request whose path names the model, which it has in its body from here on."""
        try:
            return body.read(exchange.body)
        except RefusedError as refusal:
            if refusal.error.code != body.MISSING:
                raise
        exchange.body = body.with_model(exchange.body, exchange.engine)
        return body.read(exchange.body)

    @staticmethod
    def _classify(exchange: Exchange, path: bytes, texts: int) -> int:
        """Note what a request that does not generate costs; returns for how many sequences it counts."""
        exchange.generates = False
        if path in TOKENIZES:
            exchange.is_free = True
            return 1
        return _places(exchange.key, body.documents(exchange.body) if path in RERANKS else texts)

    def admit(self, exchange: Exchange, name: str) -> Model:
        """The model of this name, if the request's key may use it now; raises RefusedError."""
        key, model = exchange.key, self.context.catalog.find(name)
        own_name = model.name if model else name
        if not exchange.admitted:
            account = exchange.account = self._meter.admit(
                key, own_name, exchange.started, name=name, sequences=exchange.sequences
            )
            exchange.admitted = True
            if account is not None:
                exchange.extra = account.lines()
        elif not may_use(key, own_name, name):
            raise model_not_allowed(key.name, name)
        if model is None:
            raise self.context.catalog.unknown(name)
        return model

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over, however it ended."""
        self._buffered -= exchange.request_bytes
        if exchange.path in PROBES:
            return
        self._in_flight.discard(exchange)
        account = exchange.account
        if account is not None:
            account.release(exchange.sequences)
            if account.tokens is not None:
                account.charge(sum(exchange.tokens), exchange.started + exchange.duration)
        if exchange.trace is not None:
            self._end_trace(exchange.trace, exchange)
        self._unreported.append(exchange)
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self.flush_reports)
        elif len(self._unreported) == _MOST_UNREPORTED:
            asyncio.get_running_loop().call_soon(self.flush_reports)

    @staticmethod
    def _end_trace(trace: "Trace", exchange: Exchange) -> None:
        status = exchange.status or 499
        outcome = _outcome(exchange, status)
        trace.end(exchange.path, status, outcome, exchange.model, exchange.key.name, exchange.endpoint)

    def flush_reports(self) -> None:
        """Count and log the exchanges that have ended: called a few times a second, so that no client waits for it."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        while self._unreported:
            self._report(self._unreported.popleft())

    def sweep(self) -> None:
        """Called about once a second: end what takes too long."""
        now = self.clock.now
        for connection in list(self.connections):
            connection.sweep(now)
        self.context.pool.sweep(self.limits.upstream_seconds)
        self.context.catalog.sweep(now)

    def _report(self, exchange: Exchange) -> None:
        path, model, key, first_byte = exchange.path, exchange.model, exchange.key.name, exchange.first_byte
        route = path if path in INFERENCE else "other"
        status = exchange.status or 499  # nginx's number for a client that did not wait
        outcome = _outcome(exchange, status)
        self._metrics.request(model, route, status, outcome, key)
        self._metrics.times(model, route, first_byte, exchange.duration)
        if model:
            self._metrics.tokens(model, key, *exchange.tokens)
        if self._access_log is not None:
            record = AccessRecord(
                timestamp(exchange.came),
                exchange.request_id.decode(),
                exchange.head.method,
                path[:256],
                model,
                key,
                exchange.endpoint,
                status,
                outcome,
                None if first_byte is None else _milliseconds(first_byte),
                _milliseconds(exchange.duration),
                exchange.sent,
            )
            self._access_log.write(record)


def _places(key: Key, inputs: int) -> int:
    """Of a key's for a request to embed so many: at most all, for they are embedded in batches, one after another."""
    return inputs if key.max_concurrent is None else min(inputs, key.max_concurrent)


def _milliseconds(seconds: float) -> float:
    """To the hundredth; `round` would take a microsecond."""
    return int(seconds * 100_000 + 0.5) / 100


def _outcome(exchange: Exchange, status: int) -> str:
    if exchange.stopped is not None:
        return exchange.stopped
    if status >= 400:
        return "client_error" if status < 500 else "server_error"
    return "broken" if exchange.broken else "ok"
