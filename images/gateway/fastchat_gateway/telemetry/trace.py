"""The spans of one request, sent by OTLP over HTTP. Attributes are those of OpenTelemetry's GenAI conventions."""

import time
from collections.abc import Mapping
from typing import Literal

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fastchat.api.routes import OPERATIONS

Event = Literal["held", "sent", "first_byte"]

_PROPAGATOR = TraceContextTextMapPropagator()


class Trace:
    """Span `gateway request`, under the caller's; below it `queue` while it is held, and an `upstream` for each try.

    What is below takes turns: `held` and `sent` end what there was. Beside them is a `pause` for each time that a
    response that had begun waited for another worker to go on with it.
    """

    def __init__(self, tracer: Tracer, headers: Mapping[bytes, bytes]) -> None:
        caller = {
            name: headers[name.encode()].decode("latin-1") for name in _PROPAGATOR.fields if name.encode() in headers
        }
        self._tracer = tracer
        self._span = tracer.start_span("gateway request", _PROPAGATOR.extract(caller), SpanKind.SERVER)
        self._below: Span | None = None
        self._pause: Span | None = None
        self._sent = 0.0

    @property
    def upstream_headers(self) -> list[tuple[bytes, bytes]]:
        """What the worker is told of the try that `sent` has just begun: traceparent, and the caller's tracestate."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self._below or self._span))
        return [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]

    def mark(self, event: Event) -> None:
        """It is held from now on, it goes to a worker, the worker's first byte is there."""
        if event == "held":
            self._begin("queue", SpanKind.INTERNAL)
        elif event == "sent":
            self._begin("upstream", SpanKind.CLIENT)
            self._sent = time.perf_counter()
        elif self._below:
            self._below.set_attribute("gen_ai.response.time_to_first_chunk", time.perf_counter() - self._sent)

    def failed(self, endpoint: str, reason: str) -> None:
        """The try under way came to nothing."""
        if self._below:
            self._below.set_attributes({"server.address": endpoint, "error.type": reason})
            self._below.set_status(Status(StatusCode.ERROR))
        self._leave()

    def pause(self, reason: str) -> None:
        """Nothing is generated from now on for a response that has begun."""
        self._pause = self._tracer.start_span(
            "pause", set_span_in_context(self._span), attributes={"fastchat.reason": reason}
        )

    def go_on(self) -> None:
        """The response goes on, or begins anew."""
        if self._pause:
            self._pause.end()
        self._pause = None

    def end(self, route: str, status: int, outcome: str, model: str = "", key: str = "", endpoint: str = "") -> None:
        """It has its response; `status` is that, `key` the name of the API key."""
        if endpoint and self._below:
            self._below.set_attribute("server.address", endpoint)
        known: dict[str, str | int | None] = {
            "http.route": route,
            "http.response.status_code": status,
            "gen_ai.operation.name": OPERATIONS.get(route),
            "gen_ai.request.model": model,
            "fastchat.outcome": outcome,
            "fastchat.key": key,
        }
        self._span.set_attributes({name: value for name, value in known.items() if value})
        if status >= 500 or outcome == "broken":
            self._fail()
        self.go_on()
        self._leave()
        self._span.end()

    def _fail(self) -> None:
        for span in filter(None, (self._span, self._below, self._pause)):
            span.set_status(Status(StatusCode.ERROR))

    def _begin(self, name: str, kind: SpanKind) -> None:
        self._leave()
        self._below = self._tracer.start_span(name, set_span_in_context(self._span), kind)

    def _leave(self) -> None:
        if self._below:
            self._below.end()
        self._below = None
