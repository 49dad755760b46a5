"""Chat streams on a server, so many at a time, each timed event by event."""

import asyncio
import itertools
import json
import random
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from fastchat._client.sse import Comment, EventParser
from fastchat.api.routes import CHAT_COMPLETIONS

_WORDS = "apple bridge cloud dance eagle forest garden house island lemon market night ocean paper river".split()  # noqa: SIM905


@dataclass(frozen=True)
class Load:
    """What is sent."""

    model: str
    concurrency: int
    """Streams at a time: as soon as one has ended the next begins."""
    requests: int | None = None
    """In all; None: as many as there is time for."""
    seconds: float | None = None
    """After which none begins any more."""
    words: int = 64
    """In each prompt; no two prompts are the same."""
    max_tokens: int = 64
    settings: Mapping[str, Any] = field(default_factory=dict)

    def body(self, rng: random.Random) -> dict[str, Any]:
        prompt = " ".join(rng.choices(_WORDS, k=self.words))  # not a secret
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.settings,
        }


@dataclass
class Timed:
    """One stream; all times are in seconds of the same clock."""

    began: float
    ended: float = 0.0
    events: "array[float]" = field(default_factory=lambda: array("d"))
    """When each event with text came."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    """What went wrong; empty: nothing."""


async def run(http: httpx.AsyncClient, load: Load, on_end: Callable[[Timed], None]) -> list[Timed]:
    """Send the load; `on_end` is called with each stream as it ends. Returns them in the order of their beginning."""
    rng, numbers, done = random.Random(0), itertools.count(), []  # noqa: S311  # the same prompts each time
    until = time.perf_counter() + (load.seconds if load.seconds is not None else float("inf"))

    async def client() -> None:
        while time.perf_counter() < until and (load.requests is None or next(numbers) < load.requests):
            timed = await one(http, load.body(rng))
            done.append(timed)
            on_end(timed)

    await asyncio.gather(*(client() for _ in range(load.concurrency)))
    return sorted(done, key=lambda timed: timed.began)


async def one(http: httpx.AsyncClient, body: Mapping[str, Any]) -> Timed:
    """Send one stream and time it; what goes wrong with it is in what comes back."""
    timed = Timed(time.perf_counter())
    try:
        async with http.stream("POST", CHAT_COMPLETIONS.path, json=body) as response:
            if response.status_code == 200:
                await _read(response, timed)
            else:
                timed.error = f"{response.status_code}: {_message(await response.aread())}"
    except httpx.TimeoutException:
        timed.error = "no response in time"
    except httpx.HTTPError as error:
        timed.error = str(error) or type(error).__name__
    timed.ended = time.perf_counter()
    return timed


async def _read(response: httpx.Response, timed: Timed) -> None:
    parser, is_done = EventParser(), False
    async for data in response.aiter_bytes():
        now = time.perf_counter()
        for item in parser.feed(data):
            if item == "[DONE]":
                is_done = True
            elif not isinstance(item, Comment):
                _take(item, now, timed)
    if not is_done and not timed.error:
        timed.error = "the stream ended without [DONE]"


def _take(event: str, now: float, timed: Timed) -> None:
    try:
        chunk = json.loads(event)
        if "error" in chunk:
            timed.error = str(chunk["error"].get("message") or chunk["error"])
            return
        deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or ()]
        usage = chunk.get("usage") or {}
    except (ValueError, AttributeError, TypeError):
        timed.error = f"an event that is none of a chat: {event[:80]}"
        return
    if any(delta.get(name) for delta in deltas for name in ("content", "reasoning_content", "reasoning", "tool_calls")):
        timed.events.append(now)
    timed.prompt_tokens = usage.get("prompt_tokens", timed.prompt_tokens)
    timed.completion_tokens = usage.get("completion_tokens", timed.completion_tokens)


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)
        return str(said.get("message") or said["error"]["message"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return body.decode(errors="replace")[:100]
