"""Adapters over HTTP: each is a model of its own name beside its base."""

import json
from collections.abc import Collection
from pathlib import Path

import httpx
import pytest
import transformers
from support.models.adapters import merge, write_adapter
from support.workers import WorkerProcess

TOKEN = "internal"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, tiny_folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder)
    folder = tmp_path_factory.mktemp("adapters")
    return [write_adapter(folder / name, model, seed=seed) for seed, name in enumerate(("sql", "law"))]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The worker's file of adapters; a test changes it, and leaves it as it was."""
    file = tmp_path_factory.mktemp("wanted") / "adapters.json"
    file.write_text("[]")
    return file


@pytest.fixture(scope="module")
def worker(tmp_path_factory, tiny_folder, adapters, wanted):
    process = WorkerProcess(
        tmp_path_factory.mktemp("worker"), "--model-name", "tiny", "--model-path", str(tiny_folder),
        *[f"--adapter={each.name}={each}" for each in adapters], "--adapters-file", str(wanted),
        env={"FASTCHAT_INTERNAL_TOKEN": TOKEN},
    )  # fmt: skip
    yield process.wait_ready()
    process.stop()


@pytest.fixture
def client(worker):
    with httpx.Client(base_url=worker.url, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def complete(client, model: str, prompt: list[int], **fields):
    body = {"model": model, "prompt": prompt, "max_tokens": 20, "temperature": 0, "ignore_eos": True, **fields}
    return client.post("/v1/completions", json=body)


def test_an_adapter_is_listed_with_its_base_and_where_it_comes_from(client, adapters):
    listed = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    assert list(listed) == ["tiny", "sql", "law"]
    assert (listed["sql"]["parent"], listed["sql"]["root"]) == ("tiny", str(adapters[0]))
    assert "parent" not in listed["tiny"]
    assert client.get("/v1/models/law").json() == listed["law"]


def test_each_name_completes_as_the_merged_model_does(client, adapters, tiny_folder, generate_alone):
    prompt = list(range(40, 70))
    for folder in (None, *adapters):
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder)
        expected = generate_alone(merge(model, folder) if folder else model, prompt, 20)
        response = complete(client, folder.name if folder else "tiny", prompt, return_token_ids=True).json()
        assert response["choices"][0]["token_ids"] == expected
        assert response["model"] == (folder.name if folder else "tiny")


@pytest.fixture
def want(worker, client, wanted):
    """Writes which adapters are wanted, and waits until they are those that are served."""

    def write(*entries: tuple[str, Path], refused: Collection[str] = ()) -> None:
        new = wanted.with_suffix(".new")
        new.write_text(json.dumps([{"name": name, "source": str(source)} for name, source in entries]))
        new.replace(wanted)
        names = ["tiny", "sql", "law", *(name for name, _ in entries if name not in refused)]
        worker.wait_for(lambda: [card["id"] for card in client.get("/v1/models").json()["data"]] == names)

    yield write
    write()


def test_an_adapter_is_loaded_and_dropped_while_the_worker_serves(client, want, adapters):
    prompt = list(range(40, 70))
    assert complete(client, "new", prompt).status_code == 404
    want(("new", adapters[0]))
    text = complete(client, "new", prompt).json()["choices"][0]["text"]
    assert text == complete(client, "sql", prompt).json()["choices"][0]["text"]
    want()
    refused = complete(client, "new", prompt)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_a_stream_of_an_adapter_that_is_dropped_goes_on_to_its_end(client, want, adapters):
    want(("new", adapters[1]))
    prompt = list(range(40, 70))
    body = {"model": "new", "prompt": prompt, "max_tokens": 200, "temperature": 0, "ignore_eos": True, "stream": True}
    expected = complete(client, "law", prompt, max_tokens=200).json()["choices"][0]["text"]
    with client.stream("POST", "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))
        want()
        assert complete(client, "new", prompt).status_code == 404
        events = [first, *(line for line in lines if line.startswith("data: "))]
    assert events.pop() == "data: [DONE]"
    texts = [json.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events]
    assert "".join(texts) == expected


def test_one_that_does_not_fit_is_named_in_the_log_and_the_others_are_served(worker, want, adapters, tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LOHA"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    want(("bad", tmp_path), ("new", adapters[0]), refused={"bad"})
    worker.wait_for(lambda: "adapter bad is of type LOHA" in worker.log.read_text())


@pytest.mark.parametrize(
    ("route", "body"), [("embeddings", {"input": "x"}), ("rerank", {"query": "x", "documents": ["y"]})]
)
def test_an_adapter_embeds_and_ranks_nothing(client, route, body):
    refused = client.post(f"/v1/{route}", json={"model": "sql", **body})
    assert refused.status_code == 400
    assert "The adapter 'sql' generates text only; embed and rank with 'tiny'." in refused.text
