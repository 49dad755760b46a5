"""The gateway and a real worker together: traces and tokens."""

import contextlib
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from integration.worker.telemetry.collector import collecting
from support.eventually import eventually
from support.ports import free_port
from support.workers import WorkerProcess

SECRET = "the prompt that nobody may read"


@contextlib.contextmanager
def gateway(worker: WorkerProcess, env: dict[str, str], *arguments: str, key: str = ""):
    port = free_port()
    command = [sys.executable, "-m", "fastchat_gateway", f"--worker={worker.url}", "--host=127.0.0.1", f"--port={port}"]
    command += arguments
    process = subprocess.Popen(command, env=os.environ | env)
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, headers=headers) as client:
            eventually(lambda: client.get("/v1/models").json().get("data"), ignoring=(httpx.TransportError,))
            yield client
    finally:
        process.terminate()
        process.wait(20)


def test_a_request_is_one_trace_from_the_gateway_to_the_worker(tmp_path, tiny_folder):
    with collecting() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        arguments = ("--model-name", "tiny", "--model-path", str(tiny_folder))
        worker = WorkerProcess(tmp_path, *arguments, env=env).wait_ready()
        try:
            with gateway(worker, env) as client:
                body = {"model": "tiny", "prompt": SECRET, "max_tokens": 5, "logit_bias": {"1": -100}}
                assert client.post("/v1/completions", json=body).is_success
                collector.wait(lambda spans: len(spans) >= 6)
        finally:
            worker.stop()
    spans = {span.name: span for span in collector.spans}
    assert len({span.trace for span in spans.values()}) == 1
    assert spans["gateway request"].parent == ""
    assert spans["upstream"].parent == spans["gateway request"].id
    assert spans["worker request"].parent == spans["upstream"].id
    assert {spans[name].parent for name in ("queue", "prefill", "decode")} == {spans["worker request"].id}
    assert SECRET not in str(spans)


CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
SAID = [{"role": "user", "content": "one"}]
SHAPES = [
    (COMPLETIONS, {"prompt": "one", "max_tokens": 5}),
    (COMPLETIONS, {"prompt": ["one", "two", "three"], "n": 3, "max_tokens": 4}),
    (COMPLETIONS, {"prompt": [5, 6, 7], "n": 2, "max_tokens": 9, "stream": True}),
    (COMPLETIONS, {"prompt": ["a", "b"], "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}),
    (COMPLETIONS, {"prompt": "c", "max_tokens": 3, "stream": True, "stream_options": {"include_usage": False}}),
    (COMPLETIONS, {"prompt": "c", "max_tokens": 3, "echo": True, "stop": ["x"], "stream": True}),
    (EMBEDDINGS, {"input": ["a text", "another one", "and a third"]}),
    (EMBEDDINGS, {"input": [[5, 6, 7], [8, 9]], "encoding_format": "base64"}),
    (RESPONSES, {"input": "one", "max_output_tokens": 5}),
    (RESPONSES, {"input": [{"role": "user", "content": "one"}] * 5, "max_output_tokens": 5, "stream": True}),
    (MESSAGES, {"messages": SAID, "max_tokens": 5}),
    (MESSAGES, {"messages": SAID, "max_tokens": 5, "stream": True}),
    (MESSAGES + "/count_tokens", {"messages": SAID}),
    (COMPLETIONS, {"prompt": [], "max_tokens": 5}),
    (COMPLETIONS, {"prompt": "too long" * 99, "max_tokens": 5, "stream": True}),
    (COMPLETIONS, {"prompt": ["x"] * 17}),
]


def value(text: str, name: str, **labels: str) -> int:
    """Of a metric, over all labels that are not given."""
    lines = [line for line in text.splitlines() if line.startswith(name + "{")]
    wanted = [line for line in lines if all(f'{label}="{given}"' in line for label, given in labels.items())]
    return sum(int(float(line.rpartition(" ")[2])) for line in wanted)


def tells_usage(path: str, fields: dict[str, Any]) -> bool:
    """Whether the client hears of it: of the newer APIs always, but where tokens are only counted."""
    if path in (RESPONSES, MESSAGES):
        return True
    asked = (fields.get("stream_options") or {}).get("include_usage")
    return bool(asked or not fields.get("stream")) and not path.endswith("count_tokens")


def test_the_gateway_counts_the_tokens_that_the_worker_counts(tmp_path, tiny_folder):
    template = tmp_path / "template.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    options = ("--model-name", "tiny", "--model-path", str(tiny_folder), "--chat-template", str(template))
    worker = WorkerProcess(tmp_path, *options).wait_ready()
    try:
        with gateway(worker, {}, "--open-metrics") as client:
            for path, fields in SHAPES:
                with client.stream("POST", path, json={"model": "tiny", **fields}) as answer:
                    text = answer.read().decode()
                assert ('"usage":{' in text) == bool(answer.is_success and tells_usage(path, fields)), text
            counted = [
                value(httpx.get(f"{worker.url}/metrics").text, "fastchat_worker_tokens_total", kind=kind)
                for kind in ("prompt", "completion")
            ]
            assert min(counted) > 50

            def told() -> str:
                text = client.get("/metrics").text
                answered = value(text, "fastchat_gateway_requests_total", model="tiny")
                return text if answered == len(SHAPES) else ""

            text = eventually(told)
            assert [value(text, "fastchat_gateway_tokens_total", direction=way) for way in ("in", "out")] == counted
    finally:
        worker.stop()


@pytest.mark.parametrize(
    ("path", "before", "after", "status", "said"),
    [
        ("/api/v1/token_check", '{"prompts":[{"model":"tiny","prompt":"', '"}]}', 200, '"fits":false'),
        (COMPLETIONS, '{"model":"tiny","stream":true,"prompt":"', '"}', 400, "context_length_exceeded"),
    ],
)
def test_the_largest_body_that_the_gateway_takes_is_not_too_large_for_the_worker(
    served_tiny, path, before, after, status, said
):
    body = before + "x" * (8 * 2**20 - len(before + after)) + after
    with gateway(served_tiny, {}) as client:
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert (response.status_code, said in response.text) == (status, True)
        assert client.post(path, content=body + " ").status_code == 413


@pytest.fixture(scope="module")
def served_tiny(tmp_path_factory, tiny_folder):
    worker = WorkerProcess(tmp_path_factory.mktemp("tiny"), "--model-name", "tiny", "--model-path", str(tiny_folder))
    try:
        yield worker.wait_ready()
    finally:
        worker.stop()
