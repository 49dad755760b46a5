"""`/v1/messages` as a chat."""

import json
from typing import Any

import pytest

from fastchat.api import ChatCompletionRequest
from fastchat.api.messages import MessagesRequest
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.requests.messages import to_chat


def request(**fields: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 7, "messages": [{"role": "user", "content": "x"}], **fields}
    return MessagesRequest.model_validate_json(json.dumps(body))


def chat(**fields: Any) -> ChatCompletionRequest:
    return to_chat(request(**fields))


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def test_blocks_of_the_system_are_one_message_and_what_is_cached_changes_nothing() -> None:
    asked = request(
        system=[text("a"), text("b", cache_control={"type": "ephemeral", "ttl": "1h"})],
        messages=[
            {"role": "user", "content": [text("c", cache_control={"type": "ephemeral"}), text("d")]},
            {"role": "system", "content": "e"},
        ],
        cache_control={"type": "ephemeral"},
        tools=[{"name": "look_up", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "u"},
    )
    said = [(message.role, message.text) for message in to_chat(asked).messages]
    assert said == [("system", "a\n\nb"), ("user", "c\n\nd"), ("system", "e")]
    assert asked.unknown_fields == []


TURNS = [
    {"role": "user", "content": "go"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "zzz"},
            text("I look."),
            {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"at": 1}},
            {"type": "tool_use", "id": "t2", "name": "ask", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [text("se"), text("en")]},
            {"type": "tool_result", "tool_use_id": "t2", "content": "not there", "is_error": True},
            text("And now?"),
        ],
    },
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t3", "name": "look_up", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t3"}]},
]


def test_results_of_tools_are_messages_of_their_own() -> None:
    messages = chat(messages=TURNS).messages
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool", "user", "assistant", "tool"]
    first = messages[1]
    assert (first.text, first.reasoning_content) == ("I look.", "hm")
    assert [(call.id, call.function.name, call.function.arguments) for call in first.calls] == [
        ("t1", "look_up", '{"at": 1}'),
        ("t2", "ask", "{}"),
    ]
    results = [(m.tool_call_id, m.name, m.text) for m in messages if m.role == "tool"]
    assert results == [("t1", "look_up", "seen"), ("t2", "ask", "Error: not there"), ("t3", "look_up", "")]
    assert (messages[4].text, messages[5].content) == ("And now?", "")


def test_blocks_and_tools_of_anthropics_are_left_out_and_named() -> None:
    asked = request(
        tools=[{"type": "web_search_20250305", "name": "web_search"}, {"name": "look_up", "input_schema": {}}],
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s"}, text("a")]},
            {"role": "user", "content": [{"type": "web_search_tool_result", "tool_use_id": "s"}, text("b")]},
        ],
        context_management={"edits": []},
    )  # fmt: skip
    assert [function.name for function in to_chat(asked).declared] == ["look_up"]
    assert asked.unknown_fields == [
        "context_management",
        "tools.web_search_20250305",
        "messages.server_tool_use",
        "messages.web_search_tool_result",
    ]


TOOLS = [{"name": name, "description": "D.", "input_schema": {"type": "object"}} for name in ("look_up", "ask")]


BOTH = ["look_up", "ask"]


@pytest.mark.parametrize(
    ("choice", "offered", "must"),
    [
        (None, BOTH, False),
        ({"type": "auto"}, BOTH, False),
        ({"type": "any"}, BOTH, True),
        ({"type": "tool", "name": "ask"}, ["ask"], True),
        ({"type": "none"}, [], False),
    ],
)
def test_tool_choice_says_the_same_as_a_chats(choice, offered, must) -> None:
    asked = chat(tools=TOOLS, tool_choice=choice)
    assert ([function.name for function in asked.offered], asked.must_call) == (offered, must)
    assert asked.declared[0].parameters == {"type": "object"}


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look_up"}])
def test_a_call_that_must_be_made_without_tools_is_refused(choice) -> None:
    with pytest.raises(RequestError, match="there are no tools to call"):
        chat(tool_choice=choice, tools=[])


def test_the_other_fields_have_their_names_in_a_chat() -> None:
    asked = chat(
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.25,
        top_k=9,
        stream=True,
        tools=TOOLS,
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        thinking={"type": "adaptive"},
    )
    assert (asked.limit, asked.stops, asked.stream, asked.parallel_tool_calls) == (7, ["END"], True, False)
    assert (asked.temperature, asked.top_p, asked.top_k, asked.reasoning_effort) == (0.5, 0.25, 9, "high")
    form: Any = asked.response_format
    assert form.json_schema.schema_ == {"type": "object"}


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        (None, "none"),
        ({"type": "disabled"}, "none"),
        ({"type": "enabled", "budget_tokens": 1024}, None),
        ({"type": "adaptive"}, None),
    ],
)
def test_the_model_thinks_where_it_is_asked_to(thinking, effort) -> None:
    assert chat(thinking=thinking).reasoning_effort == effort


def test_an_answer_that_is_begun_is_to_be_continued() -> None:
    begun = chat(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "I"}])
    assert (begun.continue_final_message, begun.add_generation_prompt) == (True, False)
    assert chat().continue_final_message is None
