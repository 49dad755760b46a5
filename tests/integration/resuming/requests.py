"""Requests of every kind, their responses, and what two of these have in common whoever generated them."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

QUESTION = [{"role": "user", "content": "What will the weather be in Paris for the next three days?"}]
TOKENS = 120
_IDS = re.compile(r"\b(chatcmpl|cmpl|resp|msg|call|toolu|fc|rs|ctc)([-_])[0-9a-zA-Z]{8,}")
_TIMES = re.compile(r'"(created|created_at|completed_at)":\d+')
_SIGNATURES = re.compile(r'"signature":"[0-9a-f-]{32,}"')
_NUMBERS = re.compile(r'"(logprob|token_logprobs|top_logprobs)":(-?[\d.e-]+|\[[^\]]*\])')

Kind = tuple[str, dict[str, Any]]
"""Path and body of a request."""

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 60},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 40}, "minItems": 3, "maxItems": 3},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "notes", "age"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "note", "description": "Notes.", "parameters": PERSON}}


def chat(**more: Any) -> Kind:
    return "/v1/chat/completions", {
        "model": "small", "messages": QUESTION, "max_tokens": TOKENS, "temperature": 0, **more,
    }  # fmt: skip


def completion(**more: Any) -> Kind:
    return "/v1/completions", {
        "model": "small", "prompt": "Once upon a time", "max_tokens": TOKENS, "temperature": 0, **more,
    }  # fmt: skip


KINDS: dict[str, Kind] = {
    "greedy": chat(ignore_eos=True),
    "seeded": chat(temperature=1, seed=7, ignore_eos=True),
    "three choices": chat(temperature=1, seed=29, n=3, ignore_eos=True),
    "penalties": chat(temperature=1, seed=3, presence_penalty=1, frequency_penalty=0.5, repetition_penalty=1.2),
    "usage": chat(stream_options={"include_usage": True}, ignore_eos=True),
    "every usage": chat(stream_options={"include_usage": True, "continuous_usage_stats": True}, ignore_eos=True),
    "logprobs": chat(logprobs=True, top_logprobs=2, temperature=1, seed=5, ignore_eos=True),
    "token ids": chat(return_token_ids=True, temperature=1, seed=6, ignore_eos=True),
    "stop texts": chat(temperature=1, seed=31, stop=["qz", "  zzz", "never comes"], ignore_eos=True),
    "tools": chat(
        temperature=1, seed=17, tools=[TOOL], tool_choice="required", parallel_tool_calls=False, max_tokens=600
    ),
    "schema": chat(
        temperature=1, seed=19, max_tokens=600,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}},
    ),
    "completion": completion(ignore_eos=True),
    "echo": completion(echo=True, temperature=1, seed=23, n=2, ignore_eos=True),
    "responses": (
        "/v1/responses", {"model": "small", "input": "Tell me a story.", "max_output_tokens": TOKENS, "temperature": 0}
    ),
    "messages": (
        "/v1/messages", {"model": "small", "messages": QUESTION, "max_tokens": TOKENS, "temperature": 0}
    ),
}  # fmt: skip


@dataclass
class Received:
    """What a client has got. events: documents in order, for each choice; pauses: seconds between parts of the body."""

    status: int = 0
    events: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    numbers: list[float] = field(default_factory=list)
    longest_pause: float = 0.0
    text: str = ""

    @property
    def parts(self) -> int:
        """Of a stream so far, by the comments that say which tokens each is of."""
        return self.text.count("\n\n:t")


async def ask(
    client: httpx.AsyncClient,
    kind: str,
    received: Received,
    *,
    stream: bool,
    kinds: Mapping[str, Kind] = KINDS,
    headers: Mapping[str, str] | None = None,
) -> Received:
    """Fills in what comes, as it comes. Raises AssertionError where the response has an error in it."""
    path, body = kinds[kind]
    clock = asyncio.get_running_loop().time
    heard = clock()
    if not stream:
        body = {name: value for name, value in body.items() if name != "stream_options"}
    async with client.stream("POST", path, json={**body, "stream": stream}, headers=headers) as response:
        received.status = response.status_code
        async for part in response.aiter_text():
            received.longest_pause = max(received.longest_pause, clock() - heard)
            heard = clock()
            received.text += part
    assert received.status == 200, received.text
    _read(received, stream=stream)
    return received


def check_equal(received: Received, expected: Received, which: str) -> None:
    for choice, events in expected.events.items():
        assert received.events[choice] == events, f"{which}, choice {choice}"
    assert received.events.keys() == expected.events.keys(), which
    assert received.numbers == pytest.approx(expected.numbers, abs=1e-3), which


def _read(received: Received, *, stream: bool) -> None:
    documents = [line[6:] for line in received.text.splitlines() if line.startswith("data: ")]
    for document in documents if stream else [received.text]:
        assert '"error":{' not in document, document
        received.numbers += [
            float(number) for found in _NUMBERS.findall(document) for number in re.findall(r"-?\d[\d.e-]*", found[1])
        ]
        received.events[_choice(document)].append(_plain(document))


def _choice(document: str) -> int:
    if not document.startswith("{"):
        return -1
    choices = json.loads(document).get("choices") or [{}]
    return choices[0].get("index", -1)


def _plain(document: str) -> str:
    """Without what is of one response only: its ids, its times, and the last digits of its log probabilities."""
    names: dict[str, str] = {}
    document = _IDS.sub(lambda found: names.setdefault(found[0], f"{found[1]}{found[2]}ID"), document)
    document = _SIGNATURES.sub('"signature":"S"', _TIMES.sub(r'"\1":0', document))
    return _NUMBERS.sub(r'"\1":N', document)
