"""The `anthropic` package."""

import anthropic
import pytest

MODEL = "smollm2"
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
GREEDY = {"temperature": 0}  # newer releases of the package do not have it
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def client():
    return anthropic.Anthropic(max_retries=0)


def test_a_message(client):
    message = client.messages.create(model=MODEL, max_tokens=12, system="Be brief.", messages=QUESTION)
    assert message.role == "assistant"
    assert message.content[0].type == "text"
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_a_stream(client):
    with client.messages.stream(model=MODEL, max_tokens=12, messages=QUESTION, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_text() == text
    whole = client.messages.create(model=MODEL, max_tokens=12, messages=QUESTION, extra_body=GREEDY)
    assert whole.content[0].text == text


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_is_called_and_its_result_read(client, streams):
    fixed = {
        "model": MODEL,
        "max_tokens": 400,
        "messages": QUESTION,
        "tools": [WEATHER],
        "tool_choice": {"type": "tool", "name": "get_weather"},
    }
    if streams:
        with client.messages.stream(**fixed) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**fixed)
    (use,) = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert use.input["city"] in ("Paris", "Rome")
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}
    turns = [*QUESTION, {"role": "assistant", "content": message.content}, result]
    assert client.messages.create(model=MODEL, max_tokens=8, messages=turns, tools=[WEATHER]).content


def test_tokens_are_counted(client):
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION)
    usage = client.messages.create(model=MODEL, max_tokens=1, messages=QUESTION).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_errors_have_their_class(client):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=8, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=MODEL, max_tokens=8, messages=[])
