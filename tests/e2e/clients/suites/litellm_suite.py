"""LiteLLM's SDK, which proxies and agents are built on."""

import os

import litellm

QUESTION = [{"role": "user", "content": "Say hello."}]
HERE = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": "none"}


def test_chat_and_stream():
    fixed = dict(model="openai/smollm2", messages=QUESTION, max_tokens=8, temperature=0, **HERE)
    whole = litellm.completion(**fixed).choices[0].message.content
    pieces = litellm.completion(**fixed, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole


def test_embeddings():
    vectors = litellm.embedding(model="openai/smollm2", input=["a", "b"], **HERE)
    assert len(vectors.data) == 2


def test_anthropics_api():
    message = litellm.completion(
        model="anthropic/smollm2",
        messages=QUESTION,
        max_tokens=8,
        api_base=os.environ["ANTHROPIC_BASE_URL"],
        api_key="none",
    )
    assert message.choices[0].message.content


def test_responses():
    assert litellm.responses(model="openai/smollm2", input="Say hello.", max_output_tokens=16, **HERE).output
