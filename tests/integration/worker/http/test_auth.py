"""The internal token: a worker answers its namespace's gateways only."""

from collections.abc import Iterator

import httpx
import pytest
from support.workers import WorkerProcess

from fastchat_worker.settings import parse

TOKEN = "token-of-the-namespace"
ROUTES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/create_embeddings"),
    ("POST", "/v1/engines/tiny/embeddings"),
    ("POST", "/v1/rerank"),
    ("POST", "/v1/score"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/api/v1/token_check"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/tiny"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, tiny_folder) -> Iterator[httpx.Client]:
    arguments = ("--model-name", "tiny", "--model-path", str(tiny_folder))
    worker = WorkerProcess(tmp_path_factory.mktemp("guarded"), *arguments, env={"FASTCHAT_INTERNAL_TOKEN": TOKEN})
    try:
        with httpx.Client(base_url=worker.wait_ready().url, timeout=30) as client:
            yield client
    finally:
        worker.stop()


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer ä"],
)
def test_without_the_token_nothing_is_answered(guarded, method, path, authorization):
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    answer = guarded.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_internal_token"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_token_it_answers(guarded, scheme):
    body = {"model": "tiny", "prompt": "x", "max_tokens": 2}
    answer = guarded.post("/v1/completions", json=body, headers={"authorization": f"{scheme} {TOKEN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_the_probes_are_open(guarded, path):
    assert guarded.get(path).status_code == 200


def test_whom_it_turned_away_is_counted(guarded):
    guarded.get("/v1/models")
    assert 'fastchat_worker_requests_total{route="unknown",status="401"}' in guarded.get("/metrics").text


def test_the_token_is_in_no_log_and_no_repr():
    settings = parse(["--model-name", "m", "--model-path", "p"], {"FASTCHAT_INTERNAL_TOKEN": TOKEN})
    assert settings.internal_token == TOKEN
    assert TOKEN not in repr(settings)


def test_it_is_no_option_of_the_command_line():
    with pytest.raises(SystemExit):
        parse(["--model-name", "m", "--model-path", "p", "--internal-token", TOKEN])
