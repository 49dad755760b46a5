"""One trace through the product: from the gateway's door to the worker's last token."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import httpx
from integration.worker.collector import collecting
from integration.worker.conftest import WorkerProcess

SECRET = "the prompt that nobody may read"


@contextlib.contextmanager
def gateway(worker: WorkerProcess, env: dict[str, str]):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fastchat_gateway", f"--worker={worker.url}", "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(command, env=os.environ | env)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            deadline = time.monotonic() + 20
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/v1/models").json().get("data"):
                        break
                assert time.monotonic() < deadline
                time.sleep(0.1)
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
