"""`/v1/responses` by OpenAI's own client, through a gateway, with SmolLM2."""

import json
from typing import Literal

import openai
import pytest
from integration.worker.agents.conftest import KEY
from pydantic import BaseModel

QUICK = {"model": "smollm2", "temperature": 0, "max_output_tokens": 8}


@pytest.fixture
def client(agents_url):
    with openai.OpenAI(base_url=f"{agents_url}/v1", api_key=KEY, timeout=600, max_retries=0) as client:
        yield client


def test_a_response_says_what_a_chat_says(client):
    chat = client.chat.completions.create(
        model="smollm2", temperature=0, max_tokens=8, messages=[{"role": "user", "content": "Say hi."}]
    )
    response = client.responses.create(input="Say hi.", **QUICK)
    assert response.output_text == chat.choices[0].message.content
    assert (response.usage.input_tokens, response.usage.output_tokens) == (chat.usage.prompt_tokens, 8)
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stream_ends_with_the_response_that_its_events_add_up_to(client):
    with client.responses.stream(input="Say hi.", instructions="Be brief.", **QUICK) as stream:
        events = list(stream)
    response = events[-1].response
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(pieces) > 3
    assert response.output_text == "".join(pieces)
    assert response.usage.output_tokens == 8


def test_the_output_of_one_turn_is_the_input_of_the_next(client):
    first = client.responses.create(input="My name is Ada.", **QUICK)
    said = [{"role": "user", "content": "My name is Ada."}, *first.output, {"role": "user", "content": "And yours?"}]
    second = client.responses.create(input=said, store=False, include=["reasoning.encrypted_content"], **QUICK)
    assert second.usage.input_tokens > first.usage.total_tokens
    assert second.output_text


def test_calls_and_results_of_tools_are_taken(client):
    tool = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}, "strict": False}
    said = [
        {"role": "user", "content": "Look."},
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "A tree."},
    ]
    response = client.responses.with_raw_response.create(
        input=said, tools=[tool, {"type": "web_search"}], tool_choice="none", **QUICK
    )
    assert response.headers["x-fastchat-ignored"] == "tools.web_search"
    assert response.parse().status in ("completed", "incomplete")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "word " * 9000}, "input"),
    ],
)
def test_what_cannot_be_served_is_refused_and_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"input": "Hi.", **QUICK, **fields})
    assert caught.value.param == param


def test_an_answer_may_be_longer_than_the_context_has_room_for(agent):
    body = {**QUICK, "input": "Say hi.", "max_output_tokens": 10**6, "stream": True}
    with agent.stream("POST", "/v1/responses", json=body) as answer:
        assert answer.status_code == 200, answer.read()


def test_a_model_that_is_not_there_is_404(client):
    with pytest.raises(openai.NotFoundError, match="'nope'"):
        client.responses.create(**{**QUICK, "model": "nope", "input": "Hi."})


class Verdict(BaseModel):
    good: bool
    colour: Literal["red", "green"]


def test_a_schema_is_kept(client):
    response = client.responses.parse(
        model="smollm2", input="Is it good, and which colour has it?", text_format=Verdict, temperature=0
    )
    assert isinstance(response.output_parsed, Verdict)
    assert response.text.format.type == "json_schema"


WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("namespace", [None, "weather"])
def test_a_call_that_must_be_made_is_made_and_its_result_taken(client, namespace):
    function = {"type": "function", "name": "ask", "parameters": WEATHER, "strict": True}
    space = {"type": "namespace", "name": namespace, "description": "Weather.", "tools": [function]}
    tools = [space if namespace else function]
    asked = {**QUICK, "max_output_tokens": 100, "tools": tools, "parallel_tool_calls": False}
    said = [{"role": "user", "content": "How is the weather in Paris?"}]
    response = client.responses.create(input=said, tool_choice="required", **asked)
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert (call.name, call.namespace) == ("ask", namespace)
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    after = client.responses.create(input=[*said, *response.output, result], **{**asked, "max_output_tokens": 4})
    assert after.usage.input_tokens > response.usage.input_tokens


def test_log_probabilities_come_where_they_are_asked_for(client):
    response = client.responses.create(
        input="Say hi.", include=["message.output_text.logprobs"], top_logprobs=2, **QUICK
    )
    part = response.output[0].content[0]
    assert "".join(each.token for each in part.logprobs) == part.text
    assert {len(each.top_logprobs) for each in part.logprobs} == {2}


def test_a_client_that_hangs_up_stops_its_generation(agent, smollm2):
    body = {"model": "smollm2", "input": "Tell a story.", "stream": True}
    with agent.stream("POST", "/v1/responses", json=body) as answer:
        next(answer.iter_lines())
    smollm2.wait_for(lambda: smollm2.gauge("sequences_running") == 0)
