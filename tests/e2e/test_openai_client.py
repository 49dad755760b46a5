"""The `openai` package against the product."""

import openai
import pytest

MESSAGES = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def client(served):
    return openai.OpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)


def test_chat(client):
    answer = client.chat.completions.create(model="vicuna-7b-v1.1", messages=MESSAGES, temperature=0)
    assert answer.choices[0].message.content.startswith("Hello!")
    assert answer.usage.total_tokens > 0


def test_streaming_chat(client):
    stream = client.chat.completions.create(
        model="smollm2", messages=MESSAGES, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("Hello!")
    assert chunks[-1].usage.completion_tokens > 0


def test_an_answer_can_be_sent_back_as_part_of_the_conversation(client):
    first = client.chat.completions.create(model="smollm2", messages=MESSAGES, max_tokens=8)
    turns = [*MESSAGES, first.choices[0].message, {"role": "user", "content": "Go on."}]
    assert client.chat.completions.create(model="smollm2", messages=turns, max_tokens=4).choices


def test_completions(client):
    answer = client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=5, temperature=0)
    assert answer.choices[0].text
    streamed = client.completions.create(
        model="smollm2", prompt="Once upon a time", max_tokens=5, temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed) == answer.choices[0].text


@pytest.mark.parametrize(("model", "dimensions"), [("all-minilm-l6-v2", 384), ("smollm2", 576)])
def test_embeddings_as_floats_and_as_base64(client, model, dimensions):
    floats = client.embeddings.create(model=model, input=["Hello", "there"], encoding_format="float")
    decoded = client.embeddings.create(model=model, input=["Hello", "there"])  # the package asks for base64
    assert [len(data.embedding) for data in floats.data] == [dimensions] * 2
    for one, other in zip(floats.data, decoded.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)


def test_models(client):
    names = {model.id for model in client.models.list()}
    assert names == {"smollm2", "vicuna-7b-v1.1", "all-minilm-l6-v2"}
    assert client.models.retrieve("smollm2").id == "smollm2"


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"tools": [{"type": "function", "function": {"name": "f g"}}]}, "tools[0].function.name"),
    ],
)
def test_bad_input_is_a_bad_request_that_names_the_field(client, params, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "smollm2", "messages": MESSAGES, **params})
    assert caught.value.param == param


async def test_the_async_client_runs_many_at_once(served):
    import asyncio

    async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="none") as client:
        asked = [client.completions.create(model="smollm2", prompt=f"{i} plus", max_tokens=4) for i in range(20)]
        answers = await asyncio.gather(*asked)
    assert all(answer.choices for answer in answers)
