"""Bodies that are a lot of work to refuse: the worker goes on answering others meanwhile."""

import threading

import httpx
from support.worst_bodies import at_worker


class Probes:
    """Asks for /health without a pause; `lost` counts questions that were not answered within two seconds."""

    def __init__(self, url: str) -> None:
        self.lost = self.answered = 0
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Probes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._over.wait(0.01):
                try:
                    client.get("/health").raise_for_status()
                    self.answered += 1
                except httpx.TransportError:
                    self.lost += 1


def test_a_worker_answers_others_while_it_refuses_the_worst_bodies(smollm2, llm):
    with Probes(smollm2.url) as probes:
        for name, (path, body) in at_worker("smollm2").items():
            answer = llm.post(path, content=body)
            assert (name, answer.status_code, probes.lost) == (name, 400, 0)
            assert answer.json()["error"]["message"]
            assert len(answer.content) < 1000


def test_only_structure_is_too_complex_and_text_is_only_too_long(llm):
    marks = '{"a": [1, 2, {"b": "c"}]}, ' * 40_000
    error = llm.post("/v1/completions", json={"model": "smollm2", "prompt": marks}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    values = llm.post("/v1/completions", json={"model": "smollm2", "prompt": [1] * 300_000}).json()["error"]
    assert (values["code"], values["message"]) == (
        "too_complex",
        "The body is more than is served: it has more than 262144 values.",
    )
