"""What a language model's worker answers, over a real socket with SmolLM2."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

NEVER_ENDS = {"2": -100}  # forbids the token that ends an answer
ENDLESS = {"model": "smollm2", "prompt": "Once", "max_tokens": 4000, "logit_bias": NEVER_ENDS}


def _chat(llm: httpx.Client, text: str = "Hello!", **params) -> dict:
    body = {"model": "smollm2", "messages": [{"role": "user", "content": text}], "temperature": 0, **params}
    response = llm.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def _complete(llm: httpx.Client, prompt="Once upon a time", **params) -> dict:
    response = llm.post("/v1/completions", json={"model": "smollm2", "prompt": prompt, "temperature": 0, **params})
    assert response.status_code == 200, response.text
    return response.json()


def _stream(llm: httpx.Client, path: str, **body) -> list[dict]:
    with llm.stream("POST", path, json={"model": "smollm2", "stream": True, **body}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.read().decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_chat_completion_has_openais_shape(llm):
    answer = _chat(llm)
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert abs(answer["created"] - time.time()) < 60
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].startswith("Hello!")
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 33


def test_a_stream_says_what_the_whole_answer_says(llm):
    whole = _chat(llm)
    messages = [{"role": "user", "content": "Hello!"}]
    chunks = _stream(llm, "/v1/chat/completions", messages=messages, temperature=0)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert "usage" not in chunks[0]


def test_usage_comes_with_the_last_chunk_when_asked_for(llm):
    chunks = _stream(
        llm, "/v1/completions", prompt="One", max_tokens=4, temperature=0, stream_options={"include_usage": True}
    )
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4


def test_no_chunk_holds_half_a_character(llm):
    body = {
        "prompt": "Emoji: 😀 🎉 🚀 漢字 — ",
        "temperature": 1,
        "seed": 3,
        "max_tokens": 60,
        "logit_bias": NEVER_ENDS,
    }
    texts = [chunk["choices"][0]["text"] for chunk in _stream(llm, "/v1/completions", **body)]
    whole = _complete(llm, **body)["choices"][0]["text"]
    assert "".join(texts) == whole
    assert not any("\ufffd" in text for text in texts[:-1])


def test_a_completion_without_a_length_has_sixteen_tokens(llm):
    answer = _complete(llm, logit_bias=NEVER_ENDS)
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["object"] == "text_completion"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_count(llm, name):
    assert _chat(llm, **{name: 5})["usage"]["completion_tokens"] == 5


def test_n_choices_of_several_prompts_come_in_order_and_prompts_count_once(llm):
    answer = _complete(llm, ["One two three", "Red green blue"], n=2, max_tokens=3, echo=True)
    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [text.split()[0] for text in texts] == ["One", "One", "Red", "Red"]
    single = _complete(llm, "One two three", max_tokens=3)["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 12
    assert answer["usage"]["prompt_tokens"] < 4 * single


def test_choices_differ_by_chance_and_repeat_by_seed(llm):
    def texts(seed):
        answer = _complete(llm, n=3, seed=seed, temperature=1, max_tokens=12)
        return [choice["text"] for choice in answer["choices"]]

    assert len(set(texts(5))) == 3
    assert texts(5) == texts(5)
    assert texts(5) != texts(6)


def test_a_prompt_may_be_given_as_tokens(llm):
    assert _complete(llm, [9, 28, 335], max_tokens=2)["usage"]["prompt_tokens"] == 3


def test_echo_begins_with_the_prompt_also_in_a_stream(llm):
    assert _complete(llm, echo=True, max_tokens=3)["choices"][0]["text"].startswith("Once upon a time")
    chunks = _stream(llm, "/v1/completions", prompt="Once upon a time", echo=True, max_tokens=3)
    assert chunks[0]["choices"][0]["text"] == "Once upon a time"


def test_a_stop_text_ends_the_answer_and_does_not_show(llm):
    plain = _complete(llm, max_tokens=30)["choices"][0]["text"]
    stop = plain[10:17]  # spans several tokens
    answer = _complete(llm, max_tokens=30, stop=["@@", stop])
    assert answer["choices"][0] == {
        "index": 0, "text": plain[: plain.index(stop)], "logprobs": None, "finish_reason": "stop",
    }  # fmt: skip
    chunks = _stream(llm, "/v1/completions", prompt="Once upon a time", temperature=0, max_tokens=30, stop=stop)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == plain[: plain.index(stop)]


def test_penalties_keep_an_answer_from_repeating_itself(llm):
    def variety(**params):
        answer = _complete(llm, "ha ha ha ha ha ha ha ha ha ha", max_tokens=24, logit_bias=NEVER_ENDS, **params)
        text = answer["choices"][0]["text"]
        return len({text[i : i + 3] for i in range(len(text) - 3)}) / len(text)

    plain = variety()
    assert variety(frequency_penalty=2) > plain
    assert variety(presence_penalty=2) > plain


def test_top_k_one_is_greedy_at_any_temperature(llm):
    greedy = _complete(llm, max_tokens=12)["choices"][0]["text"]
    assert _complete(llm, max_tokens=12, temperature=2, top_k=1)["choices"][0]["text"] == greedy
    assert _complete(llm, max_tokens=12, temperature=2, top_p=1e-6)["choices"][0]["text"] == greedy


def test_an_answer_does_not_depend_on_what_runs_beside_it(llm):
    prompts = [f"Question {i}:{' very' * i * 7} nice, because" for i in range(8)]
    alone = [_complete(llm, prompt, max_tokens=20 + i)["choices"][0]["text"] for i, prompt in enumerate(prompts)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(_complete, llm, prompt, max_tokens=20 + i) for i, prompt in enumerate(prompts)]
        together = [job.result()["choices"][0]["text"] for job in jobs]
    assert together == alone


def test_the_fields_that_change_nothing_are_accepted(llm):
    _chat(
        llm, max_tokens=1, user="me", store=False, metadata={"a": "b"}, service_tier="auto", parallel_tool_calls=True,
        tools=[], tool_choice="none", response_format={"type": "text"}, logprobs=False, n=None, stop=None, top_p=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [("audio", {"voice": "alloy", "format": "wav"}), ("modalities", ["text", "audio"]), ("web_search_options", {}),
     ("use_beam_search", True), ("prompt_logprobs", 1)],
)  # fmt: skip
def test_a_field_that_would_change_the_answer_is_refused_by_name(llm, field, value):
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], field: value}
    response = llm.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(llm):
    response = llm.post("/v1/completions", json={"model": "smollm2", "prompt": "hello " * 9000})
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["code"] == "context_length_exceeded"
    assert "8192" in error["message"]
    assert "9001" in error["message"]


def test_a_text_that_cannot_fit_is_refused(llm):
    response = llm.post("/v1/completions", json={"model": "smollm2", "prompt": "hello " * 1_300_000})
    assert response.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_place_at_once(smollm2, stream):
    with socket.create_connection(("127.0.0.1", smollm2.port)) as client:
        body = json.dumps({**ENDLESS, "stream": stream}).encode()
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        smollm2.wait_for(lambda: smollm2.gauge("sequences_running") == 1)
    smollm2.wait_for(lambda: smollm2.gauge("sequences_running") == 0)
    steps = smollm2.gauge("step_seconds_count")
    time.sleep(0.2)
    assert smollm2.gauge("step_seconds_count") == steps


def test_a_full_queue_answers_429_and_the_next_request_is_served(llm, smollm2):
    """16 run, 64 may wait: a second request of 60 choices is too much while the first is there."""
    body = {"model": "smollm2", "prompt": "Once", "n": 60, "max_tokens": 40, "logit_bias": NEVER_ENDS}
    answers: list[httpx.Response] = []
    first = threading.Thread(target=lambda: answers.append(llm.post("/v1/completions", json=body)))
    first.start()
    smollm2.wait_for(lambda: smollm2.gauge("sequences_waiting") >= 40)
    refused = llm.post("/v1/completions", json=body)
    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    assert refused.json()["error"]["code"] == "queue_full"
    first.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["choices"]) == 60
    _chat(llm, max_tokens=1)


def test_more_choices_than_may_wait_are_refused_for_good(llm):
    body = {"model": "smollm2", "prompt": ["a"] * 9, "n": 8}
    error = llm.post("/v1/completions", json=body).json()["error"]
    assert error["param"] == "n"
    assert "64" in error["message"]


def test_a_language_model_embeds_too_and_padding_does_not_show(llm):
    texts = ["Hello, can you tell me a joke", "A much longer text about the weather in the north " * 5, "x"]
    together = llm.post("/v1/embeddings", json={"model": "smollm2", "input": texts}).json()
    for text, data in zip(texts, together["data"], strict=True):
        alone = llm.post("/v1/create_embeddings", json={"model": "smollm2", "input": text}).json()["data"][0]
        assert data["embedding"] == pytest.approx(alone["embedding"], abs=1e-4)
        assert sum(x * x for x in data["embedding"]) == pytest.approx(1, abs=1e-4)


def test_token_check_counts_prompt_and_answer(llm):
    prompts = [{"model": "smollm2", "prompt": "Hello there", "max_tokens": n} for n in (8190, 8191)]
    answer = llm.post("/api/v1/token_check", json={"prompts": prompts}).json()["prompts"]
    assert answer == [
        {"fits": True, "tokenCount": 2, "contextLength": 8192},
        {"fits": False, "tokenCount": 2, "contextLength": 8192},
    ]


def test_token_check_says_of_a_text_of_megabytes_that_it_does_not_fit(llm):
    prompts = [{"model": "smollm2", "prompt": "hello " * count} for count in (9000, 1_300_000)]
    answer = llm.post("/api/v1/token_check", json={"prompts": prompts})
    assert answer.status_code == 200
    assert [result["fits"] for result in answer.json()["prompts"]] == [False, False]
    assert all(result["tokenCount"] > result["contextLength"] == 8192 for result in answer.json()["prompts"])


def test_the_model_is_listed_and_found_by_name(llm):
    card = llm.get("/v1/models").json()["data"][0]
    assert card == llm.get("/v1/models/smollm2").json()
    assert (card["id"], card["object"], card["max_model_len"]) == ("smollm2", "model", 8192)
    assert llm.get("/v1/models/other").json()["error"]["code"] == "model_not_found"
