"""The spans of one request, sent by OTLP over HTTP. Attributes are those of OpenTelemetry's GenAI conventions."""

import time
from collections.abc import Mapping, Sequence

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fastchat.api.routes import OPERATIONS


class Trace:
    """Span `worker request`, under the caller's, and below it one for each phase of the generation."""

    def __init__(self, tracer: Tracer, headers: Mapping[str, str]) -> None:
        caller = TraceContextTextMapPropagator().extract(headers)
        self._tracer = tracer
        self._epoch = time.time_ns() - time.monotonic_ns()  # read once: the clock of the day may be set in between
        self._span = tracer.start_span("worker request", caller, SpanKind.SERVER, start_time=self._now())

    def record(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int | None = None,
        first_chunk: float | None = None,
        phases: Sequence[tuple[str, float, float]] = (),
    ) -> None:
        """What was served; first_chunk in seconds, phases with two times of time.monotonic's clock."""
        known: dict[str, str | float | None] = {
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.response.time_to_first_chunk": first_chunk,
        }
        self._span.set_attributes({name: value for name, value in known.items() if value is not None})
        below = set_span_in_context(self._span)
        for name, began, ended in phases:
            self._tracer.start_span(name, below, start_time=self._wall(began)).end(self._wall(ended))

    def end(self, route: str, status: int) -> None:
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if operation := OPERATIONS.get(route):
            self._span.set_attribute("gen_ai.operation.name", operation)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._now())

    def _now(self) -> int:
        return self._epoch + time.monotonic_ns()

    def _wall(self, moment: float) -> int:
        """Nanoseconds since 1970 of a time of time.monotonic's clock."""
        return self._epoch + int(moment * 1e9)
