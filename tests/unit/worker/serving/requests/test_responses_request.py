"""`/v1/responses` as a chat."""

import json
from typing import Any

import pytest

from fastchat.api import ChatCompletionRequest
from fastchat.api.responses import ResponsesRequest
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.requests.responses import to_chat


def request(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate_json(json.dumps({"model": "m", "input": "x", **fields}))


def chat(**fields: Any) -> ChatCompletionRequest:
    return to_chat(request(**fields))


def said(**fields: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in chat(**fields).messages]


def test_a_text_is_what_the_user_says_after_the_instructions() -> None:
    assert said(instructions="Be brief.", input="Hi") == [("system", "Be brief."), ("user", "Hi")]


def test_what_the_system_and_the_developer_say_first_is_one_message() -> None:
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
        {"role": "system", "content": "c"},
        {"role": "user", "content": [{"type": "input_text", "text": "d"}, {"type": "input_text", "text": "e"}]},
        {"role": "developer", "content": "f"},
    ]
    assert said(instructions="a", input=items) == [("system", "a\n\nb\n\nc"), ("user", "de"), ("system", "f")]


CALLS = [
    {"role": "user", "content": "go"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "look_up",
        "arguments": '{"at": 1}',
        "status": "x",
    },
    {"type": "function_call", "call_id": "c2", "name": "ask", "namespace": "team", "arguments": "{}"},
    {"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": 'a "b"'},
    {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "asked"}]},
    {"type": "custom_tool_call_output", "call_id": "c3", "output": "patched"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "zzz"},
    {"type": "function_call", "call_id": "c4", "name": "look_up", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c4", "output": ""},
]


def test_what_one_turn_thought_said_and_called_is_one_message() -> None:
    go, first, *results, second, last = chat(input=CALLS).messages
    assert go.role == "user"
    assert (first.text, first.reasoning_content) == ("I look.", "hm")
    calls = [(call.id, call.function.name, json.loads(str(call.function.arguments))) for call in first.calls]
    assert calls == [("c1", "look_up", {"at": 1}), ("c2", "team__ask", {}), ("c3", "patch", {"input": 'a "b"'})]
    told = [(message.role, message.tool_call_id, message.name, message.text) for message in results]
    assert told == [
        ("tool", "c1", "look_up", "seen"),
        ("tool", "c2", "team__ask", "asked"),
        ("tool", "c3", "patch", "patched"),
    ]
    assert (second.reasoning_content, second.content, second.calls[0].id) == ("so", "", "c4")
    assert (last.tool_call_id, last.text) == ("c4", "")


TOOLS = [
    {"type": "function", "name": "look_up", "description": "Looks.", "parameters": {"type": "object"}, "strict": True},
    {"type": "namespace", "name": "team", "tools": [{"type": "function", "name": "ask"}, {"type": "mcp"}]},
    {"type": "namespace", "name": "mcp__files__", "tools": [{"type": "function", "name": "read"}]},
    {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
    {"type": "web_search", "external_web_access": False},
    {"type": "code_interpreter", "container": {"type": "auto"}},
]


def test_tools_are_functions_by_flat_names_and_hosted_ones_are_left_out_and_named() -> None:
    asked = request(tools=TOOLS, input=[{"role": "user", "content": "x"}, {"type": "web_search_call", "id": "ws"}])
    functions = {function.name: function for function in to_chat(asked).declared}
    assert list(functions) == ALL_NAMES
    assert (functions["look_up"].description, functions["look_up"].strict) == ("Looks.", True)
    assert "start: X" in str(functions["patch"].description)
    assert functions["patch"].parameters is not None
    assert functions["patch"].parameters["required"] == ["input"]
    assert asked.unknown_fields == ["tools.mcp", "tools.web_search", "tools.code_interpreter", "input.web_search_call"]


ALL_NAMES = ["look_up", "team__ask", "mcp__files__read", "patch"]


@pytest.mark.parametrize(
    ("choice", "offered", "must"),
    [
        ("none", [], False),
        ("auto", ALL_NAMES, False),
        ("required", ALL_NAMES, True),
        ({"type": "function", "name": "look_up"}, ["look_up"], True),
        ({"type": "function", "name": "ask"}, ["team__ask"], True),
        ({"type": "function", "name": "team__ask"}, ["team__ask"], True),
        ({"type": "function", "name": "ask", "namespace": "team"}, ["team__ask"], True),
        ({"type": "custom", "name": "patch"}, ["patch"], True),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "team"}]},
            ["team__ask"],
            False,
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "look_up"}, {"type": "web_search"}],
            },
            ["look_up"],
            True,
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, [], False),
    ],
)
def test_tool_choice_says_the_same_as_a_chats(choice, offered, must) -> None:
    asked = chat(tools=TOOLS, tool_choice=choice)
    assert ([function.name for function in asked.offered], asked.must_call) == (offered, must)


def test_a_call_that_must_be_made_of_hosted_tools_only_is_refused() -> None:
    with pytest.raises(RequestError, match="there are no tools to call"):
        chat(tools=[{"type": "web_search"}], tool_choice="required")


def test_the_other_fields_have_their_names_in_a_chat() -> None:
    asked = chat(
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.25,
        stream=True,
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        store=True,
        truncation="auto",
        metadata={"a": "b"},
    )
    assert (asked.limit, asked.temperature, asked.top_p, asked.stream) == (7, 0.5, 0.25, True)
    assert (asked.parallel_tool_calls, asked.reasoning_effort, asked.logprobs) == (False, "low", True)
    form: Any = asked.response_format
    assert (form.type, form.json_schema.name, form.json_schema.schema_) == ("json_schema", "n", {"type": "object"})


@pytest.mark.parametrize("form", [{"type": "text"}, None])
def test_a_text_has_no_form(form) -> None:
    assert chat(text={"format": form, "verbosity": "low"}).response_format is None
