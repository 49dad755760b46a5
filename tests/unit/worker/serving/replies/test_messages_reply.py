"""`/v1/messages` as it is written: streamed equals whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.worker.serving.replies import deltas
from unit.worker.serving.replies.deltas import cut, outputs, parsed, stream, whole, without

from fastchat.api.messages import MessagesRequest
from fastchat_worker.errors import not_ready, queue_full, server_error
from fastchat_worker.output.parser import CallDelta, Delta
from fastchat_worker.serving.replies.messages import MessagesReply
from fastchat_worker.serving.resuming.identity import Identity

DIFFERENT = frozenset({"id", "signature"})
BODY: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}


def reply(**more: Any) -> MessagesReply:
    return MessagesReply(MessagesRequest.model_validate_json(json.dumps(BODY | more)), Identity(), deltas.USAGE)


def folded(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message, as Anthropic's clients put it together."""
    message: dict[str, Any] = {}
    texts: list[str] = []
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                texts = []
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                kind, piece = delta["type"].removesuffix("_delta"), list(delta.values())[1]
                if kind == "input_json":
                    texts.append(piece)
                    continue
                block[kind] += piece
            case "content_block_stop":
                if message["content"][-1]["type"] == "tool_use":
                    message["content"][-1]["input"] = json.loads("".join(texts))
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


@settings(deadline=None)
@given(st.data(), outputs(["look_up", "ask"]), st.sampled_from(["stop", "length"]), st.sampled_from([None, "omitted"]))
def test_a_stream_adds_up_to_the_whole_message_however_the_output_is_cut(data, segments, finish, display) -> None:
    thinking = {"thinking": {"type": "adaptive", "display": display}}
    events = stream(reply(**thinking), data.draw(cut(segments)), finish)
    document = whole(reply(**thinking), data.draw(cut(segments)), finish)
    assert without(folded(events), DIFFERENT) == without(document, DIFFERENT)
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    opened = [event for event in events if event["type"] in ("content_block_start", "content_block_stop")]
    assert [event["type"] for event in opened] == ["content_block_start", "content_block_stop"] * (len(opened) // 2)


def test_the_first_event_tells_the_tokens_of_the_prompt() -> None:
    usage = stream(reply(), [], "stop")[0]["message"]["usage"]
    assert usage == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }


@pytest.mark.parametrize(
    ("finish", "stop_text", "max_tokens", "reason"),
    [
        ("stop", None, 5, ("end_turn", None)),
        ("stop", "END", 5, ("stop_sequence", "END")),
        ("stop", "</s>", 5, ("end_turn", None)),
        ("length", None, 5, ("max_tokens", None)),
        ("length", None, 6, ("model_context_window_exceeded", None)),
    ],
)
def test_it_says_why_it_ended(finish, stop_text, max_tokens, reason) -> None:
    asked = {"stop_sequences": ["END"], "max_tokens": max_tokens}
    document = whole(reply(**asked), [Delta("a")], finish, stop_text)
    assert (document["stop_reason"], document["stop_sequence"]) == reason
    told = stream(reply(**asked), [Delta("a")], finish, stop_text)[-2]["delta"]
    assert (told["stop_reason"], told["stop_sequence"]) == reason


def test_a_call_is_a_block_with_an_object() -> None:
    document = whole(reply(), [Delta("hm", calls=(CallDelta(0, "look_up", '{"at": [1]}'),))], "stop")
    assert without(document["content"], DIFFERENT) == [
        {"type": "text", "text": "hm"},
        {"type": "tool_use", "name": "look_up", "input": {"at": [1]}},
    ]
    assert document["content"][1]["id"].startswith("toolu_")
    assert document["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ('{"a": 1, "b": "x', {"a": 1, "b": "x"}),
        ("", {}),
        ("[1]", {}),
        ("no JSON", {}),
        ('{"a": [1, {"b', {"a": [1, {}]}),
    ],
)
def test_of_a_call_that_was_cut_off_it_has_what_is_there(arguments, kept) -> None:
    document = whole(reply(), [Delta(calls=(CallDelta(0, "look_up", arguments),))], "length")
    assert document["content"][0]["input"] == kept
    assert document["stop_reason"] == "model_context_window_exceeded" or document["stop_reason"] == "max_tokens"


def test_thoughts_are_signed_so_that_clients_send_them_back() -> None:
    block = whole(reply(), [Delta(reasoning="hm"), Delta("a")], "stop")["content"][0]
    assert (block["type"], block["thinking"], bool(block["signature"])) == ("thinking", "hm", True)


def test_nothing_said_is_no_content() -> None:
    assert whole(reply(), [], "stop")["content"] == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [(server_error(), "api_error"), (not_ready("draining"), "overloaded_error"), (queue_full(), "rate_limit_error")],
)
def test_a_stream_that_cannot_go_on_ends_with_the_event_error(error, kind) -> None:
    event = parsed(reply().error(error))
    assert (event["type"], event["error"]["type"], event["error"]["message"]) == ("error", kind, error.error.message)
