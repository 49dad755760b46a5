"""Chat, completions, embeddings and models in OpenAI's shapes, to the field: its package's types, taken strictly."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import openai.types as theirs
import pytest
from openai.types import chat as their_chat

from fastchat.api import (
    ChatCompletionRequest,
    CompletionRequest,
    CompletionTokensDetails,
    EmbeddingRequest,
    PromptTokensDetails,
    Usage,
)
from fastchat_worker.encoders.dimensions import Dimensions
from fastchat_worker.output.logprobs import Likely, LoggedToken
from fastchat_worker.output.parser import CallDelta, Delta
from fastchat_worker.serving import embeddings
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.models import ServedModels
from fastchat_worker.serving.replies.chat import ChatReply
from fastchat_worker.serving.replies.completion import CompletionReply
from fastchat_worker.serving.replies.reply import Message, Reply
from fastchat_worker.serving.resuming.identity import Identity

# What OpenAI's API description requires, null where there is nothing to say. The package's types make some of it
# optional, so that they alone would not notice.
_HEAD = ("id", "object", "created", "model", "choices")
_USAGE = (
    "usage.prompt_tokens",
    "usage.completion_tokens",
    "usage.total_tokens",
    "usage.prompt_tokens_details.cached_tokens",
    "usage.completion_tokens_details.reasoning_tokens",
)
_CHOICE = ("choices.index", "choices.finish_reason", "choices.logprobs")
_TOKEN = ("token", "logprob", "bytes", "top_logprobs", "top_logprobs.token", "top_logprobs.bytes")
CHAT = (*_HEAD, *_USAGE, *_CHOICE, "choices.message.role", "choices.message.content", "choices.message.refusal")
CHAT_LOGPROBS = ("choices.logprobs.refusal", *(f"choices.logprobs.content.{name}" for name in _TOKEN))
CHAT_CALLS = tuple(
    f"choices.message.tool_calls.{name}" for name in ("id", "type", "function.name", "function.arguments")
)
CHUNK = (*_HEAD, "choices.index", "choices.delta", "choices.finish_reason")
COMPLETION = (*_HEAD, *_USAGE, *_CHOICE, "choices.text")
COMPLETION_LOGPROBS = tuple(
    f"choices.logprobs.{name}" for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
)
EMBEDDINGS = (
    *("object", "model", "data.object", "data.index", "data.embedding"),
    *("usage.prompt_tokens", "usage.total_tokens"),
)
MODEL = ("id", "object", "created", "owned_by")

TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALLS = (CallDelta(0, "f", '{"a": 1}'), CallDelta(1, "f", "{}"))
TOKEN = LoggedToken("a", b"a", -0.5, (Likely("b", b"b", -1.5),), 0)
USED = Usage(
    prompt_tokens=9,
    completion_tokens=5,
    total_tokens=14,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=2),
)


def lacking(document: dict[str, Any], required: tuple[str, ...]) -> list[str]:
    """Those of the fields that it, or any element of its lists, does not have."""
    return [path for path in required if not _has(document, path.split("."))]


def _has(value: Any, path: list[str]) -> bool:
    if isinstance(value, list):
        return all(_has(each, path) for each in value)
    if not path:
        return True
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])


def chat(**more: Any) -> ChatReply:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **more}
    return ChatReply(ChatCompletionRequest.model_validate_json(json.dumps(body)), Identity(), [1, 2])


def completion(**more: Any) -> CompletionReply:
    body = {"model": "m", "prompt": "x", **more}
    return CompletionReply(
        CompletionRequest.model_validate_json(json.dumps(body)), Identity(), ["x"] if more.get("echo") else []
    )


def whole(reply: Reply, delta: Delta, finish: str = "stop") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(reply.document([Message(delta, finish, [7], [TOKEN])], USED).to_json())
    return document


def chunks(reply: Reply, *deltas: Delta) -> list[dict[str, Any]]:
    """The events of a stream but `[DONE]`."""
    events = [*reply.opening(1)]
    for delta in deltas:
        events += reply.update(Update(0, [delta], None, [7], [TOKEN]), lambda: USED)
    events += reply.update(Update(0, [], "stop"), lambda: USED)
    events += reply.closing(USED)
    assert events.pop() == b"data: [DONE]\n\n"
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


CHATS: dict[str, tuple[dict[str, Any], Delta, tuple[str, ...]]] = {
    "a text": ({}, Delta("Hi"), ()),
    "nothing": ({}, Delta(""), ()),
    "reasoning": ({}, Delta("Hi", "Hm."), ("choices.message.reasoning_content",)),
    "calls": ({"tools": TOOLS}, Delta(calls=CALLS), CHAT_CALLS),
    "a call by the older name": (
        {"functions": [{"name": "f"}]},
        Delta(calls=CALLS[:1]),
        ("choices.message.function_call.name", "choices.message.function_call.arguments"),
    ),
    "log probabilities": ({"logprobs": True, "top_logprobs": 1}, Delta("a"), CHAT_LOGPROBS),
    "token ids": ({"return_token_ids": True}, Delta("a"), ("prompt_token_ids", "choices.token_ids")),
}


@pytest.mark.parametrize(("more", "delta", "required"), CHATS.values(), ids=CHATS)
def test_a_chat_has_every_field_of_openais(more, delta, required):
    document = whole(chat(**more), delta)
    their_chat.ChatCompletion.model_validate(document, strict=True)
    assert lacking(document, CHAT + required) == []


@pytest.mark.parametrize(("more", "delta"), [case[:2] for case in CHATS.values()], ids=CHATS)
@pytest.mark.parametrize("options", [{}, {"include_usage": True}, {"continuous_usage_stats": True}])
def test_every_chunk_of_a_chat_has_every_field_of_openais(more, delta, options):
    events = chunks(chat(**more, stream=True, stream_options=options), delta, delta)
    for event in events:
        their_chat.ChatCompletionChunk.model_validate(event, strict=True)
        assert lacking(event, CHUNK) == []
    assert {event["id"] for event in events} == {events[0]["id"]}
    reasons = [choice["finish_reason"] for event in events for choice in event["choices"]]
    assert [reason for reason in reasons if reason] == reasons[-1:]


def test_a_stream_that_tells_usage_has_the_field_in_every_chunk_and_the_counts_in_the_last():
    events = chunks(chat(stream=True, stream_options={"include_usage": True}), Delta("Hi"))
    assert [event["usage"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1]["choices"] == []
    assert lacking(events[-1], _USAGE) == []


def test_a_stream_that_does_not_tell_usage_does_not_have_the_field():
    assert not any("usage" in event for event in chunks(chat(stream=True), Delta("Hi")))


COMPLETIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a text": ({}, ()),
    "log probabilities": ({"logprobs": 1}, COMPLETION_LOGPROBS),
    "an echo": ({"echo": True}, ()),
}


@pytest.mark.parametrize(("more", "required"), COMPLETIONS.values(), ids=COMPLETIONS)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_completion_has_every_field_of_openais(more, required, finish):
    document = whole(completion(**more), Delta("a"), finish)
    theirs.Completion.model_validate(document, strict=True)
    assert lacking(document, COMPLETION + required) == []


@pytest.mark.parametrize("more", [case[0] for case in COMPLETIONS.values()], ids=COMPLETIONS)
def test_every_chunk_of_a_completion_has_every_field_of_openais(more):
    events = chunks(completion(**more, stream=True, stream_options={"include_usage": True}), Delta("a"), Delta("a"))
    for event in events:
        # The package's type has no null there, which OpenAI sends until a choice ends.
        ended = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in event["choices"]]
        theirs.Completion.model_validate({**event, "choices": ended}, strict=True)
        assert lacking(event, (*_HEAD, *_CHOICE, "choices.text", "usage")) == []


@pytest.mark.parametrize("encoding", [None, "float"])
def test_embeddings_have_every_field_of_openais(encoding):
    document = embedded(encoding)
    theirs.CreateEmbeddingResponse.model_validate(document, strict=True)
    assert lacking(document, EMBEDDINGS) == []


def test_embeddings_in_base64_differ_in_the_vector_only():
    plain, encoded = embedded(None), embedded("base64")
    for at, each in enumerate(encoded["data"]):
        vector = np.frombuffer(base64.b64decode(each.pop("embedding")), "<f4")
        assert vector.tolist() == plain["data"][at].pop("embedding")
    assert encoded == plain


def embedded(encoding: str | None) -> dict[str, Any]:
    wanted = EmbeddingRequest(model="m", input=["a", "b"], encoding_format=encoding)
    vectors = [np.array([1, 0.5], np.float32), np.array([0, -1], np.float32)]
    document: dict[str, Any] = json.loads(embeddings._document(wanted, "m", 5, vectors, Dimensions(2, 2, None, False)))
    return document


@pytest.mark.parametrize("of", [lambda models: models.cards().data[0], lambda models: models.card("org/m")])
def test_a_model_has_every_field_of_openais(of: Callable[[ServedModels], Any]):
    document = json.loads(of(ServedModels("org/m", "Generate")).to_json())
    theirs.Model.model_validate(document, strict=True)
    assert lacking(document, MODEL) == []


def test_a_list_of_models_says_that_it_is_one():
    document = json.loads(ServedModels("m", "Generate").cards().to_json())
    assert document["object"] == "list"
    assert [card["id"] for card in document["data"]] == ["m"]
