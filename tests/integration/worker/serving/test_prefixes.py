"""What responses say of the tokens that were found in the cache, and who finds them."""

import httpx
import pytest

SYSTEM = "You are the help desk of a library in a town by the sea. Books may be kept for four weeks. " * 4


def _chat(llm: httpx.Client, *turns: str, **fields) -> tuple[str, dict]:
    """The text and the usage of a conversation, whose turns are the user's and the assistant's."""
    roles = ["system", *["user", "assistant"] * len(turns)]
    messages = [{"role": role, "content": text} for role, text in zip(roles, [SYSTEM, *turns], strict=False)]
    body = {"model": "smollm2", "messages": messages, "temperature": 0, "max_tokens": 12, **fields}
    answer = llm.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"], answer.json()["usage"]


def _cached(usage: dict) -> int:
    return usage["prompt_tokens_details"]["cached_tokens"]


def test_the_next_turn_of_a_chat_is_told_what_it_found_and_gets_the_text_of_a_fresh_run(llm):
    turns = ["What do you lend?"]
    reply, first = _chat(llm, *turns, cache_salt="talk")
    turns += [reply, "For how long?"]
    text, second = _chat(llm, *turns, cache_salt="talk")
    fresh, unknown = _chat(llm, *turns, cache_salt="another talk")
    assert text == fresh
    assert (_cached(first), _cached(unknown)) == (0, 0)
    assert first["prompt_tokens"] <= _cached(second) < second["prompt_tokens"]


def test_choices_of_one_request_read_its_prompt_once_and_that_is_not_told_as_found(smollm2, llm):
    before = smollm2.gauge("prompt_tokens_read_total")
    _, usage = _chat(llm, "Who are you?", n=4, temperature=1, cache_salt="choices")
    assert _cached(usage) == 0
    assert smollm2.gauge("prompt_tokens_read_total") - before <= usage["prompt_tokens"] + 3


@pytest.mark.parametrize("path", ["completions", "responses", "messages"])
def test_every_api_tells_it_in_its_own_words(llm, path):
    text = f"{path}: {SYSTEM}"
    prompt = {
        "completions": {"prompt": text},
        "responses": {"input": text, "max_output_tokens": 16},
        "messages": {"messages": [{"role": "user", "content": text}]},
    }[path]
    body = {"model": "smollm2", "max_tokens": 16, **prompt}
    if path == "responses":
        del body["max_tokens"]
    first, second = (llm.post(f"/v1/{path}", json=body).json()["usage"] for _ in range(2))
    if path == "messages":  # where what was found is not among the others
        whole = first["input_tokens"] + first["cache_read_input_tokens"]
        assert first["cache_read_input_tokens"] < whole / 2
        assert (second["cache_read_input_tokens"], second["input_tokens"]) == (whole - 1, 1)
        return
    kind = "prompt" if path == "completions" else "input"
    found = [usage[f"{kind}_tokens_details"]["cached_tokens"] for usage in (first, second)]
    assert found[0] < first[f"{kind}_tokens"] / 2
    assert found[1] == first[f"{kind}_tokens"] - 1


def test_what_was_looked_for_and_found_is_counted(smollm2, llm):
    names = ("prefix_queried_tokens_total", "prefix_hit_tokens_total")
    before = [smollm2.gauge(name) for name in names]
    usages = [_chat(llm, "Count.", cache_salt="count")[1] for _ in range(2)]
    queried, hit = (smollm2.gauge(name) - was for name, was in zip(names, before, strict=True))
    assert (queried, hit) == (sum(each["prompt_tokens"] for each in usages), _cached(usages[1]))
    assert smollm2.gauge("prefix_kept_tokens") > 0
    smollm2.wait_for(lambda: smollm2.gauge("cache_tokens_in_use") == 0)


def test_a_salt_that_is_too_long_is_refused_by_name(llm):
    body = {"model": "smollm2", "prompt": "x", "cache_salt": "s" * 1025}
    answer = llm.post("/v1/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cache_salt")
