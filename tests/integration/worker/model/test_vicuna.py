"""The model that FastChat's own document serves, in the layout that it is published in."""

import httpx
import pytest
import transformers
from support.vicuna import vicuna_folder


@pytest.fixture(scope="module")
def vicuna(tmp_path_factory):
    return vicuna_folder(tmp_path_factory.mktemp("vicuna-7b-v1.5"))


def test_it_generates_what_transformers_generates(start_worker, vicuna):
    worker = start_worker("--model-name", "vicuna-7b-v1.5", "--model-path", str(vicuna)).wait_ready()
    body = {"model": "vicuna-7b-v1.5", "prompt": "Tell me a story", "max_tokens": 12, "temperature": 0}
    choice = httpx.post(worker.url + "/v1/completions", json=body).json()["choices"][0]
    model = transformers.AutoModelForCausalLM.from_pretrained(vicuna, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(vicuna)
    prompt = tokenizer("Tell me a story", return_tensors="pt")
    ids = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0]
    whole, before = (tokenizer.decode(each, skip_special_tokens=True) for each in (ids, prompt["input_ids"][0]))
    assert choice["text"] == whole.removeprefix(before)
