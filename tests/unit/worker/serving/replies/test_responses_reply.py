"""`/v1/responses` as it is written: streamed equals whole, and both are OpenAI's types to the field."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from unit.worker.serving.replies.deltas import USAGE, cut, extras, outputs, parsed, stream, whole, without

from fastchat.api.responses import ResponsesRequest
from fastchat_worker.errors import server_error
from fastchat_worker.output.logprobs import Likely, LoggedToken
from fastchat_worker.output.parser import CallDelta, Delta
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.responses import ResponsesReply
from fastchat_worker.serving.resuming.identity import Identity

TOOLS = [
    {"type": "function", "name": "look_up", "description": "Looks.", "parameters": {"type": "object"}},
    {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /./"}},
    {
        "type": "namespace",
        "name": "team",
        "description": "A team.",
        "tools": [
            {"type": "function", "name": "ask", "parameters": None, "strict": None},
            {"type": "custom", "name": "tell"},
        ],
    },
    {"type": "web_search"},
]
NAMES = ["look_up", "patch", "team__ask", "team__tell", "unheard_of"]
BODY: dict[str, Any] = {"model": "m", "input": "x", "tools": TOOLS, "metadata": {"a": "b"}, "temperature": 0}
OURS = {"store", "response.store", "name", "item.status", "output.status", "response.output.status"}
"""What OpenAI sends beyond the types of its package."""
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
DIFFERENT = frozenset({"id", "call_id", "created_at", "completed_at"})


def reply(**more: Any) -> ResponsesReply:
    return ResponsesReply(ResponsesRequest.model_validate_json(json.dumps(BODY | more)), Identity())


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: C901  # a case for each event
    """The output, of the pieces only and not of what the events say at their end."""
    items: list[dict[str, Any]] = []
    for event in events:
        match event["type"]:
            case "response.output_item.added":
                items.append(json.loads(json.dumps(event["item"])))
                assert event["output_index"] == len(items) - 1
            case "response.content_part.added":
                items[-1].setdefault("content", []).append(event["part"])
            case "response.reasoning_summary_part.added":
                items[-1]["summary"].append(event["part"])
            case "response.output_text.delta" | "response.reasoning_text.delta":
                items[-1]["content"][event["content_index"]]["text"] += event["delta"]
            case "response.reasoning_summary_text.delta":
                items[-1]["summary"][event["summary_index"]]["text"] += event["delta"]
            case "response.function_call_arguments.delta":
                items[-1]["arguments"] += event["delta"]
            case "response.custom_tool_call_input.delta":
                items[-1]["input"] += event["delta"]
            case "response.output_item.done":
                items[-1]["status"] = event["item"]["status"]
                assert items[-1] == event["item"]
        if "item_id" in event:
            assert event["item_id"] == items[-1]["id"]
    return items


@settings(max_examples=60, deadline=None)
@given(st.data(), outputs(NAMES), st.sampled_from(["stop", "length"]), st.sampled_from([None, "auto"]))
def test_a_stream_adds_up_to_the_whole_response_however_the_output_is_cut(data, segments, finish, summary) -> None:
    fields = {"reasoning": {"summary": summary}}
    events = stream(reply(**fields), data.draw(cut(segments)), finish)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]["response"]
    assert folded(events) == last["output"]
    document = whole(reply(**fields), data.draw(cut(segments)), finish)
    assert without(last, DIFFERENT) == without(document, DIFFERENT)
    assert events[-1]["type"] == f"response.{document['status']}"
    for event in events:
        assert set(extras(EVENT.validate_python(event))) <= OURS
    assert set(extras(Response.model_validate(document, strict=True))) <= OURS


def test_the_events_of_a_text_come_in_openais_order() -> None:
    kinds = [event["type"] for event in stream(reply(), [Delta("a"), Delta("b")], "stop")]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_reasoning_is_an_item_of_its_own_where_it_ends() -> None:
    output = whole(reply(), [Delta(reasoning="hm"), Delta("a"), Delta(reasoning="m")], "stop")["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert output[0]["summary"] == []


def test_reasoning_is_told_as_a_summary_where_one_is_asked_for() -> None:
    output = whole(reply(reasoning={"summary": "auto"}), [Delta(reasoning="hm")], "stop")["output"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert "content" not in output[0]


def called(name: str, arguments: str) -> dict[str, Any]:
    item = whole(reply(), [Delta(calls=(CallDelta(0, name, arguments),))], "stop")["output"][0]
    return without(item, DIFFERENT | {"status"})


def test_a_call_has_the_name_and_the_namespace_that_its_tool_was_declared_with() -> None:
    said = {"type": "function_call", "arguments": "{}"}
    assert called("look_up", "{}") == {**said, "name": "look_up"}
    assert called("team__ask", "{}") == {**said, "name": "ask", "namespace": "team"}
    assert called("unheard_of", "{}") == {**said, "name": "unheard_of"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input": "a\\nb"}', "a\nb"), ('{"input": "cut of', "cut of"), ("no JSON", "no JSON"), ('{"x": 1}', '{"x": 1}')],
)
def test_a_custom_tool_is_called_with_a_text(arguments: str, text: str) -> None:
    assert called("patch", arguments) == {"type": "custom_tool_call", "name": "patch", "input": text}
    assert called("team__tell", arguments)["namespace"] == "team"


def test_a_response_says_what_is_served_and_not_what_was_left_out() -> None:
    document = whole(reply(store=True), [], "stop")
    assert [tool["type"] for tool in document["tools"]] == ["function", "custom", "namespace"]
    assert (document["store"], document["truncation"], document["temperature"]) == (False, "disabled", 0)
    assert document["output"][0]["content"][0]["text"] == ""


def test_usage_is_told_by_the_names_of_this_api() -> None:
    assert whole(reply(), [], "stop")["usage"] == {
        "input_tokens": USAGE.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 14,
    }


def test_a_length_that_is_reached_leaves_the_last_item_incomplete() -> None:
    document = whole(reply(), [Delta("a")], "length")
    assert (document["status"], document["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert document["output"][0]["status"] == "incomplete"


def test_a_stream_that_cannot_go_on_ends_with_a_failed_response() -> None:
    broken = reply()
    list(broken.opening(1))
    event = parsed(broken.error(server_error("The worker failed.")))
    assert (event["type"], event["response"]["status"]) == ("response.failed", "failed")
    assert event["response"]["error"] == {"code": "server_error", "message": "The worker failed."}
    assert event["sequence_number"] == 2
    assert set(extras(EVENT.validate_python(event))) <= OURS


def logged(text: str) -> LoggedToken:
    return LoggedToken(text, text.encode(), -0.5, (Likely("x", b"x", -1.5),), 0)


def test_log_probabilities_are_told_with_the_text_and_again_at_its_end() -> None:
    asked = reply(include=["message.output_text.logprobs"], top_logprobs=1)
    updates = [Update(0, [Delta(text)], None, logprobs=[logged(text)]) for text in ("a", "b")]
    events = [parsed(event) for update in updates for event in asked.update(update, lambda: USAGE)]
    events += [parsed(event) for event in asked.closing(USAGE)]
    entry = {"logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -1.5, "bytes": [120]}]}
    expected = [{"token": text, "bytes": list(text.encode()), **entry} for text in ("a", "b")]
    told = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    assert told == [[each] for each in expected]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == expected
    assert set(extras(EVENT.validate_python(events[-1]))) <= OURS
