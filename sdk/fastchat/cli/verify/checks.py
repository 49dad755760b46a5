"""What OpenAI's clients need of responses and streams, one function each.

Source: OpenAI's API reference (https://platform.openai.com/docs/api-reference/chat), and what its Python and
JavaScript packages read of a response.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastchat.api.routes import CHAT_COMPLETIONS, EMBEDDINGS, MODELS
from fastchat.cli.verify.target import SkippedError, Target, events_of, json_object, part, require

AT_ONCE = 8
_REASONS = ("stop", "length", "tool_calls", "content_filter")


async def models(target: Target) -> str:
    """`GET /v1/models` lists what is served, by which each can be asked for."""
    said = json_object(await target.http.get(MODELS.path))
    target.served = part(said, "data", of=list)
    names = [part(card, "id", of=str) for card in target.served]
    require(target.model in names, f"{target.model!r} is not in the list: {', '.join(names) or 'it is empty'}")
    json_object(await target.http.get(f"{MODELS.path}/{target.model}"))
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


async def chat(target: Target) -> str:
    """A whole response has all that a client reads."""
    said = await target.chat()
    require(part(said, "object") == "chat.completion", f"object is {said['object']!r}, not 'chat.completion'")
    part(said, "id", of=str)
    part(said, "created", of=int)
    part(said, "model", of=str)
    require(part(said, "choices", 0, "message", "role") == "assistant", "the message's role is not assistant")
    text = part(said, "choices", 0, "message", "content", of=str)
    reason = part(said, "choices", 0, "finish_reason")
    require(reason in _REASONS, f"finish_reason is {reason!r}")
    return f"{len(text)} characters, finish_reason {reason}"


async def usage(target: Target) -> str:
    """Tokens are counted, and within the limit."""
    return _counted((await target.chat()).get("usage"), target.max_tokens)


def _counted(said: Any, limit: int) -> str:
    prompt, completion, total = (
        part(said, name, of=int) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    require(prompt > 0 and completion > 0, f"{prompt} and {completion} tokens are counted")
    require(prompt + completion == total, f"{prompt} and {completion} tokens are {total} together")
    require(completion <= limit, f"max_tokens was {limit}, and {completion} were generated")
    return f"{prompt} + {completion} tokens"


async def stream(target: Target) -> str:
    """A stream has one id, one end for each choice, and the text of the whole response."""
    found = await target.stream()
    ids = {chunk.get("id") for chunk in found.chunks}
    require(len(ids) == 1, f"the events have {len(ids)} ids")
    kinds = {chunk.get("object") for chunk in found.chunks}
    require(kinds == {"chat.completion.chunk"}, f"objects are {', '.join(map(repr, kinds))}")
    require(found.choices[0]["delta"].get("role") == "assistant", "the first event has no role")
    reasons = [choice["finish_reason"] for choice in found.choices if choice.get("finish_reason")]
    require(len(reasons) == 1 and reasons[0] in _REASONS, f"finish_reason came {len(reasons)} times")
    whole = part(await target.chat(), "choices", 0, "message", "content", of=str)
    same = "the text of the whole response" if found.text == whole else "other text than the whole response"
    return f"{len(found.chunks)} events, {same}"


async def stream_usage(target: Target) -> str:
    """With `include_usage` the last event tells the tokens, and has no choices."""
    found = await target.stream(stream_options={"include_usage": True})
    last = found.chunks[-1]
    require(last["choices"] == [], "the last event has choices")
    require(not any(chunk.get("usage") for chunk in found.chunks[:-1]), "events before the last have usage, too")
    return _counted(last.get("usage"), target.max_tokens)


async def errors(target: Target) -> str:
    """What is wrong is refused with 400 (422) in OpenAI's form."""
    path = CHAT_COMPLETIONS.path
    wrong: dict[str, Mapping[str, Any]] = {
        "no JSON": {"content": b"{", "headers": {"Content-Type": "application/json"}},
        "no messages": {"json": {"model": target.model}},
        "messages of a wrong type": {"json": {"model": target.model, "messages": "x"}},
        "temperature of a wrong type": {"json": target.body(temperature="hot")},
    }
    for name, request in wrong.items():
        response = await target.http.post(path, **request)
        require(response.status_code in (400, 422), f"{name}: status {response.status_code} instead of 400")
        _error(json_object(response, response.status_code))
    return f"{len(wrong)} wrong requests are refused"


def _error(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error of a refusal, in OpenAI's form."""
    error = part(said, "error", of=dict)
    part(said, "error", "message", of=str)
    missing = {"type", "param", "code"} - set(error)
    require(not missing, f"the error has no {', '.join(sorted(missing))}")
    return dict(error)


async def unknown_model(target: Target) -> str:
    """A model that is not there is a 404, by which clients know."""
    response = await target.http.post(CHAT_COMPLETIONS.path, json=target.body(model="no-such-model"))
    error = _error(json_object(response, 404))
    return f"404, code {error['code']}"


async def wrong_key(target: Target) -> str:
    """Where a key is needed, a wrong one is a 401."""
    if not target.has_key:
        raise SkippedError("no API key was given")
    wrong = {"Authorization": "Bearer wrong", "x-api-key": ""}
    response = await target.http.get(MODELS.path, headers=wrong)
    _error(json_object(response, 401))
    return "401"


async def chunked(target: Target) -> str:
    """A body may come in pieces of any size (RFC 9112, 7.1)."""
    body = target.http.build_request("POST", "/", json=target.body()).content
    for size in (1, 7, 1000):

        async def pieces(size: int = size) -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

        headers = {"Content-Type": "application/json"}
        json_object(await target.http.post(CHAT_COMPLETIONS.path, content=pieces(), headers=headers))
    return f"{len(body)} bytes in pieces of 1, 7 and 1000"


async def cancel(target: Target) -> str:
    """After clients have left in the middle of their streams, the next one is served as before."""
    began = time.monotonic()
    await target.chat()
    usual = time.monotonic() - began
    for _ in range(AT_ONCE):
        body = target.body(stream=True, max_tokens=max(target.max_tokens, 256))
        async with target.http.stream("POST", CHAT_COMPLETIONS.path, json=body) as response:
            async for _event in events_of(response):
                break
    began = time.monotonic()
    await target.chat()
    after = time.monotonic() - began
    allowed = 5 * usual + 5
    require(
        after < allowed, f"after {AT_ONCE} streams that were left a response took {after:.1f} s, before {usual:.1f}"
    )
    return f"{AT_ONCE} streams were left, the next response took {after:.2f} s"


async def concurrency(target: Target) -> str:
    """Requests at the same time are all answered, each for itself."""
    streams, wholes = await asyncio.gather(
        asyncio.gather(*(target.stream() for _ in range(AT_ONCE // 2))),
        asyncio.gather(*(target.chat() for _ in range(AT_ONCE // 2))),
    )
    ids = {stream.chunks[0].get("id") for stream in streams} | {whole.get("id") for whole in wholes}
    require(len(ids) == AT_ONCE, f"{AT_ONCE} responses have {len(ids)} ids")
    return f"{AT_ONCE} at once"


async def embeddings(target: Target) -> str:
    """Vectors come in the order of their texts, as numbers and as base64."""
    names = [card["id"] for card in target.served if card.get("task") == "Embed"]
    if not names:
        raise SkippedError("no model for it is listed")
    lengths = []
    for form in ("float", "base64"):
        body = {"model": names[0], "input": ["one", "two"], "encoding_format": form}
        said = json_object(await target.http.post(EMBEDDINGS.path, json=body))
        require([part(item, "index") for item in part(said, "data", of=list)] == [0, 1], "the indices are not 0, 1")
        lengths += [_dimensions(part(item, "embedding", of=(list, str))) for item in said["data"]]
    require(len(set(lengths)) == 1, f"vectors have {', '.join(map(str, lengths))} dimensions")
    return f"{lengths[0]} dimensions"


def _dimensions(vector: list[float] | str) -> int:
    if isinstance(vector, list):
        return len(vector)
    try:
        return len(base64.b64decode(vector, validate=True)) // 4
    except binascii.Error:
        return 0
