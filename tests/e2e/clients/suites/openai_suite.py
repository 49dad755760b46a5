"""The `openai` package's newest release: what the tests of this repository with its own release leave out."""

import json

import openai
import pydantic
import pytest

MODEL = "smollm2"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Rome"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
QUESTION = [{"role": "user", "content": "What will the weather be in Paris for the next 3 days?"}]


@pytest.fixture(scope="module")
def client():
    return openai.OpenAI(max_retries=0)


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)  # a model that talks nonsense ends it, if at all, when it must
    population: int = pydantic.Field(ge=0, le=10**9)


def test_chat(client):
    reply = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, logprobs=True, top_logprobs=2)
    choice = reply.choices[0]
    assert choice.message.content
    assert choice.message.refusal is None
    assert len(choice.logprobs.content) == reply.usage.completion_tokens
    assert all(len(each.top_logprobs) == 2 for each in choice.logprobs.content)
    assert reply.usage.prompt_tokens_details.cached_tokens >= 0
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0


def test_stream_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, max_tokens=8) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.current_completion_snapshot.choices[0].message.content == text


def test_parse(client):
    reply = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a city and its population."}],
        response_format=City,
        max_tokens=400,
    )
    assert isinstance(reply.choices[0].message.parsed, City)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_call_and_the_answer_to_its_result(client, choice):
    reply = client.chat.completions.create(
        model=MODEL, messages=QUESTION, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False, max_tokens=400
    )
    (call,) = reply.choices[0].message.tool_calls
    assert reply.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*QUESTION, reply.choices[0].message, result]
    after = client.chat.completions.create(model=MODEL, messages=turns, tools=[WEATHER], max_tokens=8)
    assert after.choices


def test_a_streamed_call_equals_the_whole(client):
    fixed = {
        "model": MODEL,
        "messages": QUESTION,
        "tools": [WEATHER],
        "tool_choice": "required",
        "temperature": 0,
        "max_tokens": 400,
        "parallel_tool_calls": False,
    }
    whole = client.chat.completions.create(**fixed).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(**fixed) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert (streamed.name, streamed.arguments) == (whole.name, whole.arguments)


def test_responses(client):
    reply = client.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.", max_output_tokens=16)
    assert reply.output_text
    assert reply.usage.output_tokens > 0


def test_responses_stream(client):
    with client.responses.stream(model=MODEL, input="Say hello.", max_output_tokens=16) as stream:
        events = list(stream)
    assert events[-1].type in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].response.output_text == text


def test_responses_parse(client):
    reply = client.responses.parse(
        model=MODEL, input="Name a city and its population.", text_format=City, max_output_tokens=400
    )
    assert isinstance(reply.output_parsed, City)


def test_responses_tool_round_trip(client):
    tool = {"type": "function", **WEATHER["function"]}
    reply = client.responses.create(
        model=MODEL, input=QUESTION, tools=[tool], tool_choice="required", max_output_tokens=400
    )
    call = next(item for item in reply.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    after = client.responses.create(
        model=MODEL, input=[*QUESTION, *reply.output, result], tools=[tool], max_output_tokens=8
    )
    assert after.output


def test_errors_have_their_class(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=QUESTION)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=[])
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(openai.BadRequestError, match="image_url"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [image]}])
