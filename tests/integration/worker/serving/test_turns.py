"""Who waits for whom, and what one request may ask for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.workers import WorkerProcess

TOKEN = "token-of-the-namespace"
OPTIONS = ("--max-batch-size", "1", "--max-sequences-per-request", "64")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, tiny_folder) -> Iterator[WorkerProcess]:
    """A worker of gateways that generates one sequence at a time."""
    model = ("--model-name", "tiny", "--model-path", str(tiny_folder))
    worker = WorkerProcess(tmp_path_factory.mktemp("narrow"), *model, *OPTIONS, env={"FASTCHAT_INTERNAL_TOKEN": TOKEN})
    try:
        yield worker.wait_ready()
    finally:
        worker.stop()


def ask(worker: WorkerProcess, key: str, n: int, tokens: int = 40) -> httpx.Response:
    """As a gateway does for one of its keys."""
    headers = {"authorization": f"Bearer {TOKEN}", "x-fastchat-key": key}
    body = {"model": "tiny", "prompt": "a", "n": n, "max_tokens": tokens, "logit_bias": {"1": -100}}
    return httpx.post(f"{worker.url}/v1/completions", json=body, headers=headers, timeout=60)


@pytest.mark.parametrize("another", ["bob", "alice"])
def test_many_sequences_of_one_request_do_not_keep_the_next_request_waiting(narrow, another):
    with ThreadPoolExecutor() as pool:
        many = pool.submit(ask, narrow, "alice", 64)
        narrow.wait_for(lambda: narrow.gauge("sequences_waiting") > 50)
        assert ask(narrow, another, 1).is_success
        assert narrow.gauge("sequences_waiting") > 30
        assert many.result().is_success


def test_one_keys_requests_leave_room_in_the_queue_for_another_key(narrow):
    with ThreadPoolExecutor(9) as pool:
        many = [pool.submit(ask, narrow, "alice", 32, 5) for _ in range(9)]
        narrow.wait_for(lambda: any(each.done() for each in many))
        refused = next(each for each in many if each.done()).result()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert ask(narrow, "bob", 1).is_success
        assert sum(each.result().status_code == 200 for each in many) >= 4


@pytest.mark.parametrize(("fields", "param"), [({"n": 17}, "n"), ({"prompt": ["a"] * 17}, "prompt")])
def test_one_request_asks_for_no_more_answers_than_run_at_once(tiny, fields, param):
    body = {"model": "tiny", "prompt": "a", "max_tokens": 1, **fields}
    answer = httpx.post(f"{tiny.url}/v1/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "too_many_sequences", param)
    assert "at most 16 in one request" in error["message"]


def test_one_request_may_ask_for_as_many_answers_as_run_at_once(tiny):
    body = {"model": "tiny", "prompt": ["a"] * 4, "n": 4, "max_tokens": 1}
    assert len(httpx.post(f"{tiny.url}/v1/completions", json=body).json()["choices"]) == 16


def test_a_key_finds_in_the_cache_what_its_own_prompts_began_with_and_not_what_anothers_did(narrow):
    cached = []
    for key in ("carol", "dave", "carol"):
        headers = {"authorization": f"Bearer {TOKEN}", "x-fastchat-key": key}
        body = {"model": "tiny", "prompt": "b" * 99, "max_tokens": 1}
        answer = httpx.post(f"{narrow.url}/v1/completions", json=body, headers=headers, timeout=60)
        cached.append(answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert cached == [0, 0, 98]
