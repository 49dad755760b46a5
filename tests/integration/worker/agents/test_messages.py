"""`/v1/messages` through a gateway, with SmolLM2, as Anthropic's clients send it."""

import json

import pytest

HI = [{"role": "user", "content": "Say hi."}]
QUICK = {"model": "smollm2", "messages": HI, "temperature": 0, "max_tokens": 8}
VERSION = {"anthropic-version": "2023-06-01", "anthropic-beta": "effort-2025-11-24"}


def post(agent, path="/v1/messages?beta=true", **fields):
    return agent.post(path, json={**QUICK, **fields}, headers=VERSION)


def events_of(agent, **fields):
    with agent.stream("POST", "/v1/messages", json={**QUICK, "stream": True, **fields}, headers=VERSION) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        raw = answer.read().decode().split("\n\n")
    assert raw[-1] == ""
    pairs = [event.split("\n") for event in raw[:-1] if not event.startswith(":")]
    documents = [json.loads(data.removeprefix("data: ")) for _, data in pairs]
    assert [name for name, _ in pairs] == [f"event: {document['type']}" for document in documents]
    return documents


def prompt_tokens(said: dict) -> int:
    """All of them; those that were found in the cache are told apart."""
    return said["usage"]["input_tokens"] + said["usage"]["cache_read_input_tokens"]


def test_a_message_says_what_a_chat_says(agent):
    chat = agent.post("/v1/chat/completions", json=QUICK).json()
    message = post(agent).json()
    assert message["content"] == [{"type": "text", "text": chat["choices"][0]["message"]["content"]}]
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 8)
    assert prompt_tokens(message) == chat["usage"]["prompt_tokens"]


def test_a_stream_says_what_the_whole_message_says(agent):
    whole = post(agent).json()
    events = events_of(agent)
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]
    assert prompt_tokens(events[0]["message"]) == prompt_tokens(events[-2]) == prompt_tokens(whole)
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert events[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_ends_the_message_and_is_named(agent, stream):
    text = post(agent).json()["content"][0]["text"]
    stop = text.split()[1]
    if stream:
        ended = events_of(agent, stop_sequences=["never so", stop])[-2]["delta"]
    else:
        ended = post(agent, stop_sequences=["never so", stop]).json()
    assert (ended["stop_reason"], ended["stop_sequence"]) == ("stop_sequence", stop)


def test_tokens_are_counted_by_the_models_own_template(agent):
    said = {"system": "Be brief.", "tools": [{"name": "look_up", "input_schema": {"type": "object"}}]}
    counted = agent.post("/v1/messages/count_tokens", json={"model": "smollm2", "messages": HI, **said})
    assert counted.json() == {"input_tokens": prompt_tokens(post(agent, **said).json())}


def test_tokens_of_a_conversation_that_is_too_long_are_counted_too(agent):
    long = [{"role": "user", "content": "word " * 9000}]
    counted = agent.post("/v1/messages/count_tokens", json={"model": "smollm2", "messages": long})
    assert counted.json()["input_tokens"] > 8192
    refused = post(agent, messages=long)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert refused.json()["error"]["message"].startswith("prompt is too long")


CALLED = [
    {"role": "user", "content": "Look."},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I should look.", "signature": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "A tree."}]},
    {"role": "system", "content": "Answer in one word."},
]


def test_an_agents_whole_conversation_is_taken(agent):
    answer = post(
        agent,
        messages=CALLED,
        max_tokens=4,
        system=[{"type": "text", "text": "You look.", "cache_control": {"type": "ephemeral"}}],
        tools=[
            {"name": "look_up", "description": "Looks.", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        metadata={"user_id": "u"},
        context_management={"edits": []},
    )
    assert answer.status_code == 200, answer.text
    assert (
        answer.headers["x-fastchat-ignored"] == "context_management,tools.web_search_2025030"
    )  # 24 characters of each


def test_an_answer_may_be_longer_than_the_context_has_room_for(agent):
    counted = agent.post("/v1/messages/count_tokens", json={"model": "smollm2", "messages": HI}).json()["input_tokens"]
    assert counted < 8192
    answer = post(agent, max_tokens=32_000, stop_sequences=["!", ".", "?"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["stop_reason"] == "stop_sequence"


@pytest.mark.parametrize(
    ("fields", "status", "kind", "said"),
    [
        ({"model": "nope"}, 404, "not_found_error", "'nope'"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, 400, "invalid_request_error",
         "messages[0].content[0]': blocks of type 'image' are not served here"),
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, 400, "invalid_request_error", "budget_tokens"),
        ({"temperature": 3}, 400, "invalid_request_error", "temperature"),
    ],
)  # fmt: skip
def test_errors_have_anthropics_shape(agent, fields, status, kind, said):
    answer = post(agent, **fields)
    document = answer.json()
    assert (answer.status_code, document["type"], document["error"]["type"]) == (status, "error", kind)
    assert said in document["error"]["message"]
    assert document["request_id"] == answer.headers["x-request-id"]


def test_a_schema_is_kept(agent):
    schema = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}
    asked = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    answer = post(agent, output_config=asked, max_tokens=40).json()
    assert set(json.loads(answer["content"][0]["text"])) == {"good"}
    assert answer["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_must_be_made_is_made(agent, stream):
    city = {"type": "string", "enum": ["Paris", "Rome"]}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"], "additionalProperties": False}
    asked = {
        "messages": [{"role": "user", "content": "How is the weather in Paris?"}],
        "tools": [{"name": "ask", "input_schema": schema, "strict": True}],
        "tool_choice": {"type": "tool", "name": "ask"},
        "max_tokens": 100,
    }
    if not stream:
        message = post(agent, **asked).json()
        (call,) = [block for block in message["content"] if block["type"] == "tool_use"]
        assert (message["stop_reason"], call["name"]) == ("tool_use", "ask")
        assert call["input"]["city"] in ("Paris", "Rome")
        return
    events = events_of(agent, **asked)
    pieces = [
        event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"
    ]
    assert json.loads("".join(pieces))["city"] in ("Paris", "Rome")
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
