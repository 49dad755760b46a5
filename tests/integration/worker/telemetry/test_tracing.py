"""Traces of a worker, as a collector gets them by OTLP."""

import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from integration.worker.telemetry.collector import Collector, collecting
from support.workers import WorkerProcess

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "the prompt that nobody may read"


@pytest.fixture(scope="module")
def collecting_all() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def collector(collecting_all) -> Iterator[Collector]:
    """Without what came before."""
    yield collecting_all
    collecting_all.spans.clear()


@pytest.fixture(scope="module")
def traced(tmp_path_factory, tiny_folder, collecting_all) -> Iterator[WorkerProcess]:
    """A worker that sends its spans soon."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collecting_all.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    arguments = ("--model-name", "tiny", "--model-path", str(tiny_folder))
    worker = WorkerProcess(tmp_path_factory.mktemp("traced"), *arguments, env=env)
    try:
        yield worker.wait_ready()
    finally:
        worker.stop()


def complete(worker, sampled: bool = True, **fields) -> httpx.Response:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-0{int(sampled)}"}
    body = {"model": "tiny", "prompt": SECRET, "max_tokens": 5, "logit_bias": {"1": -100}, **fields}
    return httpx.post(worker.url + "/v1/completions", json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_a_span_under_its_callers_with_queue_prefill_and_decode_below(traced, collector, stream):
    began = time.time_ns()
    assert complete(traced, stream=stream).is_success
    spans = {span.name: span for span in collector.wait(lambda spans: len(spans) == 4)}
    arrived = time.time_ns()
    request = spans["worker request"]
    assert request.parent == CALLER
    assert {spans[name].parent for name in ("queue", "prefill", "decode")} == {request.id}
    assert {span.trace for span in spans.values()} == {TRACE}
    assert {span.service for span in spans.values()} == {"fastchat-worker"}
    queue, prefill, decode = (spans[name] for name in ("queue", "prefill", "decode"))
    times = [request.began, queue.began, prefill.began, decode.began, decode.ended, request.ended]
    assert times == sorted(times)
    assert (queue.ended, prefill.ended) == (prefill.began, decode.began)
    assert began - 10**6 < request.began < request.ended < arrived + 10**6  # ns; the clock may be set in between


def test_attributes_say_what_was_served_and_nothing_of_what_was_said(traced, collector):
    assert complete(traced).is_success
    spans = collector.wait(lambda spans: len(spans) == 4)
    attributes = next(span for span in spans if span.name == "worker request").attributes
    first_chunk = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first_chunk < 30
    assert attributes == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": len(SECRET),
        "gen_ai.usage.output_tokens": 5,
        "http.route": "/v1/completions",
        "http.response.status_code": 200,
    }
    assert SECRET not in str(spans)


def test_a_refused_request_has_a_span_of_its_own_only(traced, collector):
    assert complete(traced, model="other").status_code == 404
    (span,) = collector.wait(lambda spans: spans)
    assert (span.name, span.attributes["http.response.status_code"]) == ("worker request", 404)


def test_what_the_caller_does_not_sample_is_not_sent(traced, collector):
    assert complete(traced, sampled=False).is_success
    assert complete(traced).is_success
    collector.wait(lambda spans: len(spans) == 4)
    time.sleep(0.3)
    assert len(collector.spans) == 4


def test_what_was_traced_last_is_sent_before_the_worker_ends(start_worker, tiny_folder, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    worker = start_worker("--model-name", "tiny", "--model-path", str(tiny_folder), env=env).wait_ready()
    assert complete(worker).is_success
    worker.process.terminate()
    assert worker.process.wait(20) == 0
    assert len(collector.spans) == 4


def test_a_collector_that_is_away_costs_no_request(start_worker, tiny_folder):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "10"}
    worker = start_worker("--model-name", "tiny", "--model-path", str(tiny_folder), env=env).wait_ready()
    assert all(complete(worker).is_success for _ in range(5))


@pytest.mark.parametrize("switched_off", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_nothing_of_opentelemetrys_exporter_is_imported_while_it_is_off(switched_off):
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if switched_off else {}
    code = (
        "import sys, fastchat_worker.telemetry.tracing as t; "
        f"assert t.start({endpoint | switched_off}).begin({{}}) is None; "
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
