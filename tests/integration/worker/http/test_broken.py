"""A model that can compute nothing any more: the worker says so and ends, for Kubernetes to start it again."""

import threading
from pathlib import Path

import httpx
from support.workers import SLOW, WorkerProcess

BODY = {"model": "tiny", "prompt": "x", "max_tokens": 200, "logit_bias": {"1": -100}}
REASON = "the model cannot compute any more: CUDA error: an illegal memory access was encountered"


def _start(start_worker, folder, breaks: Path) -> WorkerProcess:
    options = ("--model-name", "tiny", "--model-path", str(folder), "--executor", "torch", "--max-batch-size", "2")
    return start_worker(*options, program=(str(SLOW), str(breaks))).wait_ready()


def _last_line(worker: WorkerProcess) -> str:
    assert worker.process.wait(60) == 1
    return worker.log.read_text().strip().splitlines()[-1]


def test_a_worker_whose_gpu_breaks_tells_those_in_flight_and_ends_with_one_clear_line(
    start_worker, tiny_folder, tmp_path
):
    worker = _start(start_worker, tiny_folder, tmp_path / "breaks")
    told: list[httpx.Response] = []

    def ask(stream: bool) -> None:
        told.append(httpx.post(worker.url + "/v1/completions", json={**BODY, "stream": stream}, timeout=60))

    asking = [threading.Thread(target=ask, args=[stream]) for stream in (True, False, False)]
    for thread in asking[:2]:
        thread.start()
    worker.wait_for(lambda: worker.gauge("sequences_running") == 2)
    asking[2].start()
    worker.wait_for(lambda: worker.gauge("sequences_waiting") == 1)
    (tmp_path / "breaks").touch()
    for thread in asking:
        thread.join()
    assert _last_line(worker) == f"fastchat-worker: {REASON}; the worker ends, to be started again"
    ran, waited = ([each for each in told if (each.status_code == 503) == waited] for waited in (False, True))
    assert [each.json()["error"]["code"] for each in waited] == ["broken"]  # a gateway asks another worker
    assert sorted(each.status_code for each in ran) == [200, 500]
    assert all('"type":"server_error"' in each.text.strip().splitlines()[-1] for each in ran)


def test_a_worker_that_only_embeds_says_it_too(start_worker, tiny_folder, tmp_path):
    worker = _start(start_worker, tiny_folder, tmp_path / "breaks")
    (tmp_path / "breaks").touch()
    answer = httpx.post(worker.url + "/v1/embeddings", json={"model": "tiny", "input": "x"}, timeout=60)
    assert answer.status_code == 500
    assert REASON in _last_line(worker)
