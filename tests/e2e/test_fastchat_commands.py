"""What FastChat's document told its users to type, against the product.

Its own model, a small one in vicuna-7b-v1.5's layout, is served once for all of it: 30 s on two cores.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
from cluster.tools import packages
from support.clients import environments
from support.clients.fschat import LOCK
from support.eventually import eventually
from support.ports import free_port
from support.vicuna import vicuna_folder

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


@contextmanager
def running(*commands: Sequence[str], env: dict[str, str], folder) -> Iterator[Callable[[], str]]:
    """Runs `python3 -m` with each; yields what they have logged. All must end with 0 at SIGTERM."""
    log = folder / "log"
    with log.open("w") as output:
        started = [
            subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **env}, stdout=output, stderr=output)
            for command in commands
        ]
    try:
        yield log.read_text
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in started] == [0] * len(started), log.read_text()


@pytest.fixture(scope="module")
def vicuna(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """FastChat's three commands, word for word but for folder and ports: the API's URL, and what was logged."""
    folder = tmp_path_factory.mktemp("fastchat")
    model = vicuna_folder(folder / "vicuna-7b-v1.5", max_position_embeddings=512)
    worker_port, port = free_port(), free_port()
    controller = ["fastchat.serve.controller"]
    worker = ["fastchat.serve.model_worker", "--model-name", "vicuna-7b-v1.1", "--model-path", str(model)]
    api = ["fastchat.serve.openai_api_server", "--host", "localhost", "--port", str(port)]
    api += ["--alias", "vicuna-7b-v1.5=vicuna-7b-v1.1"]  # FastChat's document says this, its test script that
    url, workers = f"http://localhost:{port}", {"FASTCHAT_WORKERS": f"http://localhost:{worker_port}"}
    commands = (controller, [*worker, "--port", str(worker_port)], api)
    with running(*commands, env=workers, folder=folder) as logged:
        card = url + "/v1/models/vicuna-7b-v1.1"
        ready = f"http://localhost:{worker_port}/ready"
        for waited in (card, ready):
            eventually(
                lambda waited=waited: httpx.get(waited).status_code == 200,
                180,
                ignoring=(httpx.TransportError,),
                said=logged,
            )
        yield url, logged()


def test_fastchats_commands_serve_fastchats_model(vicuna):
    url, logged = vicuna
    assert "no controller any more" in logged
    assert "chat template: vicuna_v1.1, which ships, for models named like vicuna-7b-v1.5" in logged
    named = [model["id"] for model in httpx.get(url + "/v1/models").json()["data"]]
    assert named == ["vicuna-7b-v1.1", "vicuna-7b-v1.5"]


@pytest.mark.parametrize("name", CURLS)
def test_the_three_curl_commands_answer_of_fastchats_model(vicuna, name):
    packages.require(packages.CURL)
    command = CURLS[name].replace("http://localhost:8000", vicuna[0])
    answer = json.loads(subprocess.check_output(["bash", "-c", command], stderr=subprocess.DEVNULL))
    match name:
        case "chat":
            assert answer["choices"][0]["message"]["role"] == "assistant"
            assert answer["usage"]["prompt_tokens"] > 60  # the words of Vicuna's system text, and the user's
        case "embeddings":
            assert len(answer["data"][0]["embedding"]) == 64
        case "completion":
            assert answer["usage"]["completion_tokens"] <= 41


def test_the_snippet_runs_verbatim_with_fastchats_model(vicuna):
    env = {**os.environ, "FASTCHAT_BASEURL": vicuna[0]}
    said = subprocess.check_output([sys.executable, "-c", SNIPPET], env=env, text=True)
    assert "assistant" in said


def test_fastchats_own_test_script_runs_whole(vicuna, tmp_path):
    """tests/test_openai_api.py of FastChat 0.2.36's source on PyPI, with the `openai` of its days; but for the port."""
    packages.require(packages.CURL)
    script = tmp_path / "test_openai_api.py"
    text = (environments.source("fschat", LOCK) / "tests/test_openai_api.py").read_text()
    script.write_text(text.replace("http://localhost:8000", vicuna[0]))
    command = [str(environments.python("fschat", LOCK)), str(script)]
    env = environments.environ(PYTHONUNBUFFERED="1", LOGDIR=str(tmp_path))  # what it says and what curl does, in order
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    models, _, curls = done.stdout.partition("===== Test curl =====")
    assert models.count("===== Test vicuna-7b-v1.") == models.count("\nlogprobs: [") == 2
    assert models.count("embedding len: 64") == 2, models
    found = [json.JSONDecoder().raw_decode(curls, at.start())[0] for at in re.finditer('^{"', curls, re.MULTILINE)]
    assert [answer["object"] for answer in found] == ["list", "chat.completion", "text_completion", "list"]


def test_flags_of_fastchats_scripts_are_taken(tmp_path):
    worker_port, port = free_port(), free_port()
    model = vicuna_folder(tmp_path / "model", max_position_embeddings=512)
    worker = ["fastchat.serve.model_worker", "--model-name", "vicuna-7b-v1.1", "--model-path", str(model)]
    worker += ["--device", "cpu", "--controller-address", "http://localhost:21001", "--conv-template", "alpaca"]
    api = ["fastchat.serve.api", "--host", "localhost", "--port", str(port)]
    workers = {"FASTCHAT_WORKERS": f"http://localhost:{worker_port}"}
    with running([*worker, "--port", str(worker_port)], api, env=workers, folder=tmp_path) as logged:
        url = f"http://localhost:{port}"
        card = url + "/v1/models/vicuna-7b-v1.1"
        eventually(lambda: httpx.get(card).status_code == 200, 180, ignoring=(httpx.TransportError,), said=logged)
        body = {"model": "vicuna-7b-v1.1", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
        answer = httpx.post(url + "/v1/chat/completions", json=body, timeout=120)  # held while the model loads
        assert answer.status_code == 200, answer.text
        assert "chat template: alpaca, which ships, as --chat-template says" in logged()
