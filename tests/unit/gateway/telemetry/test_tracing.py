"""The spans that a request leaves behind."""

import subprocess
import sys
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastchat_gateway.telemetry.trace import Trace
from fastchat_gateway.telemetry.tracing import Tracer

CHAT = "/v1/chat/completions"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FROM_CALLER = {b"traceparent": f"00-{TRACE}-{CALLER}-01".encode(), b"tracestate": b"vendor=1"}


class Spans:
    """A tracer, and what it has recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(partial(Trace, provider.get_tracer("fastchat_gateway")))

    def begin(self, headers: dict[bytes, bytes] | None = None) -> Trace:
        trace = self.tracer.begin(headers or {})
        assert trace
        return trace

    @property
    def names(self) -> list[str]:
        """In the order in which they ended."""
        return [span.name for span in self._exporter.get_finished_spans()]

    def __getitem__(self, name: str) -> ReadableSpan:
        return next(span for span in self._exporter.get_finished_spans() if span.name == name)


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_a_request_is_under_its_callers_span(spans):
    spans.begin(FROM_CALLER).end(CHAT, 200, "ok")
    request = spans["gateway request"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == CALLER


@pytest.mark.parametrize("headers", [{}, {b"traceparent": b"00-zz-1-01"}, {b"traceparent": b"\xff"}])
def test_without_a_callers_span_it_is_a_trace_of_its_own(spans, headers):
    spans.begin(headers).end(CHAT, 200, "ok")
    assert spans["gateway request"].parent is None


def test_waiting_and_the_workers_answer_are_spans_below_one_after_the_other(spans):
    trace = spans.begin()
    trace.mark("held")
    trace.mark("sent")
    trace.mark("first_byte")
    trace.end(CHAT, 200, "ok")
    request, queue, upstream = spans["gateway request"], spans["queue"], spans["upstream"]
    assert spans.names == ["queue", "upstream", "gateway request"]
    assert queue.parent.span_id == upstream.parent.span_id == request.context.span_id
    assert request.start_time <= queue.start_time <= queue.end_time <= upstream.start_time
    assert upstream.end_time <= request.end_time
    assert upstream.attributes["gen_ai.response.time_to_first_chunk"] >= 0


def test_the_worker_is_told_of_the_span_of_its_own_try(spans):
    trace = spans.begin(FROM_CALLER)
    trace.mark("sent")
    headers = dict(trace.upstream_headers)
    trace.end(CHAT, 200, "ok")
    assert headers[b"traceparent"].decode() == f"00-{TRACE}-{spans['upstream'].context.span_id:016x}-01"
    assert headers[b"tracestate"] == b"vendor=1"


def test_each_try_is_a_span_and_one_that_failed_says_why(spans):
    trace = spans.begin()
    trace.mark("sent")
    trace.failed("http://10.0.0.1:8000", "refused")
    trace.mark("sent")
    trace.end(CHAT, 200, "ok", endpoint="http://10.0.0.2:8000")
    assert spans.names == ["upstream", "upstream", "gateway request"]
    assert not spans["upstream"].status.is_ok
    assert spans["upstream"].attributes["error.type"] == "refused"
    assert spans["gateway request"].status.is_unset


def test_the_pause_of_a_response_lasts_from_its_workers_end_until_it_goes_on_whatever_is_tried_meanwhile(spans):
    trace = spans.begin()
    trace.mark("sent")
    trace.pause("lost")
    trace.failed("http://10.0.0.1:8000", "the connection was closed")
    trace.mark("held")
    trace.mark("sent")
    trace.go_on()
    trace.end(CHAT, 200, "ok")
    pause, queue = spans["pause"], spans["queue"]
    assert spans.names == ["upstream", "queue", "pause", "upstream", "gateway request"]
    assert pause.attributes == {"fastchat.reason": "lost"}
    assert pause.parent.span_id == spans["gateway request"].context.span_id
    assert pause.start_time <= queue.start_time <= queue.end_time <= pause.end_time
    assert pause.status.is_unset


def test_a_pause_that_ends_with_its_response_is_an_error(spans):
    trace = spans.begin()
    trace.mark("sent")
    trace.pause("handed_over")
    trace.end(CHAT, 200, "broken")
    assert not spans["pause"].status.is_ok
    assert spans.names == ["pause", "upstream", "gateway request"]


def test_attributes_name_model_key_and_outcome(spans):
    spans.begin().end(CHAT, 200, "ok", model="m", key="alice")
    assert dict(spans["gateway request"].attributes) == {
        "http.route": CHAT,
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "fastchat.outcome": "ok",
        "fastchat.key": "alice",
    }


@pytest.mark.parametrize(
    ("status", "outcome", "ok"),
    [(200, "ok", True), (404, "client_error", True), (503, "server_error", False), (200, "broken", False)],
)
def test_what_the_product_is_to_blame_for_is_an_error(spans, status, outcome, ok):
    trace = spans.begin()
    trace.mark("sent")
    trace.end(CHAT, status, outcome)
    assert [spans[name].status.is_unset for name in ("upstream", "gateway request")] == [ok, ok]


def test_what_the_caller_does_not_sample_the_worker_does_not_either(spans):
    trace = spans.begin({b"traceparent": f"00-{TRACE}-{CALLER}-00".encode()})
    trace.mark("sent")
    assert dict(trace.upstream_headers)[b"traceparent"].endswith(b"-00")
    trace.end(CHAT, 200, "ok")
    assert not spans.names


def test_nothing_of_opentelemetry_is_imported_while_it_is_off():
    code = (
        "import sys, fastchat_gateway.telemetry.tracing as t; assert t.start({}).begin({}) is None; "
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
