"""Fields that no API knows: agents send them, and a typing error looks the same."""

from collections.abc import Iterator

import httpx
import pytest
from support.workers import WorkerProcess

CHAT = {"model": "tiny", "prompt": "x", "max_tokens": 1}


@pytest.fixture(scope="module")
def worker(tmp_path_factory, tiny_folder) -> Iterator[httpx.Client]:
    yield from _started(tmp_path_factory, tiny_folder)


@pytest.fixture(scope="module")
def strict(tmp_path_factory, tiny_folder) -> Iterator[httpx.Client]:
    yield from _started(tmp_path_factory, tiny_folder, "--strict-fields")


def _started(tmp_path_factory, folder, *options: str) -> Iterator[httpx.Client]:
    arguments = ("--model-name", "tiny", "--model-path", str(folder), *options)
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"), *arguments)
    try:
        with httpx.Client(base_url=worker.wait_ready().url, timeout=60) as client:
            yield client
    finally:
        worker.stop()


def test_they_are_ignored_and_named_in_a_header_and_counted(worker):
    response = worker.post("/v1/completions", json=CHAT | {"top-k": 1, "stream_options_": {}})
    assert response.status_code == 200
    assert response.headers["x-fastchat-ignored"] == "top-k,stream_options_"
    assert "fastchat_worker_ignored_fields_total 2.0" in worker.get("/metrics").text


def test_a_request_without_them_has_no_such_header(worker):
    assert "x-fastchat-ignored" not in worker.post("/v1/completions", json=CHAT).headers


@pytest.mark.parametrize("name", ["x" * 9999, "a\r\nset-cookie: b", "\u00e9\u4e2d", "", "a,b"])
def test_a_name_of_the_callers_choice_does_no_harm_to_the_header(worker, name):
    response = worker.post("/v1/completions", json=CHAT | {name: 1})
    assert response.status_code == 200
    assert len(response.headers["x-fastchat-ignored"]) < 64
    assert "set-cookie" not in response.headers


def test_many_of_them_are_named_as_far_as_a_header_takes_them(worker):
    response = worker.post("/v1/completions", json=CHAT | {f"field_{'x' * 30}_{number}": 1 for number in range(900)})
    assert len(response.headers["x-fastchat-ignored"]) <= 256
    assert response.headers["x-fastchat-ignored"].endswith(",...")


def test_they_are_refused_by_name_where_fields_are_strict(strict):
    response = strict.post("/v1/completions", json=CHAT | {"made_up": 1})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "made_up"
    assert response.json()["error"]["code"] == "unknown_parameter"
