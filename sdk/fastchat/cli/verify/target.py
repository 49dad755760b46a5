"""A server under examination, and what it says."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from fastchat._client.sse import Comment, EventParser
from fastchat.api.routes import CHAT_COMPLETIONS

QUESTION = "Name a colour."


class CheckError(Exception):
    """What is not as OpenAI's clients need it; the text says what was found."""


class SkippedError(Exception):
    """Why something cannot be examined here."""


@dataclass
class Target:
    """A server, and what is known of it so far."""

    http: httpx.AsyncClient
    model: str
    max_tokens: int = 16
    has_key: bool = False
    served: list[dict[str, Any]] = field(default_factory=list)
    """Its cards of models."""

    def body(self, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": QUESTION}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens, **fields}

    async def chat(self, **fields: Any) -> dict[str, Any]:
        """A whole response; raises CheckError unless it is a 200 with an object."""
        return json_object(await self.http.post(CHAT_COMPLETIONS.path, json=self.body(**fields)))

    async def stream(self, **fields: Any) -> "Streamed":
        """All events of a streamed response; raises CheckError unless it is one."""
        body = self.body(stream=True, **fields)
        async with self.http.stream("POST", CHAT_COMPLETIONS.path, json=body) as response:
            return await streamed(response)


@dataclass(frozen=True)
class Streamed:
    """The events of a stream, without its last."""

    chunks: list[dict[str, Any]]

    @property
    def choices(self) -> list[dict[str, Any]]:
        return [choice for chunk in self.chunks for choice in chunk["choices"]]

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content") or "" for choice in self.choices)


async def streamed(response: httpx.Response) -> Streamed:
    """Reads a stream to its end.

    Raises:
        CheckError: it is none, an event is none of a chat, or `[DONE]` is not its last.
    """
    if response.status_code != 200:
        await response.aread()
        raise CheckError(f"status {response.status_code}: {_short(response.text)}")
    kind = response.headers.get("content-type", "")
    require(kind.startswith("text/event-stream"), f"content-type is {kind!r}, not text/event-stream")
    events = [event async for event in events_of(response)]
    require(bool(events) and events[-1] == "[DONE]", "the last event is not [DONE]")
    require("[DONE]" not in events[:-1], "there are events after [DONE]")
    return Streamed([_chunk(event) for event in events[:-1]])


async def events_of(response: httpx.Response) -> AsyncIterator[str]:
    """The data of each event, as it comes."""
    parser = EventParser()
    async for data in response.aiter_bytes():
        for item in parser.feed(data):
            if not isinstance(item, Comment):
                yield item


def _chunk(event: str) -> dict[str, Any]:
    try:
        chunk = json.loads(event)
    except ValueError:
        raise CheckError(f"an event is no JSON: {_short(event)}") from None
    require(isinstance(chunk, dict), f"an event is no object: {_short(event)}")
    require("error" not in chunk, f"an error came in the stream: {_short(event)}")
    choices = chunk.get("choices")
    is_chat = isinstance(choices, list) and all(isinstance(choice.get("delta"), dict) for choice in choices)
    require(is_chat, f"an event has no choices with a delta: {_short(event)}")
    return dict(chunk)


def json_object(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The object of a response; raises CheckError where it has another status, or no object."""
    found = response.status_code
    require(found == status, f"status {found} instead of {status}: {_short(response.text)}")
    try:
        said = response.json()
    except ValueError:
        raise CheckError(f"no JSON came: {_short(response.text)}") from None
    require(isinstance(said, dict), f"no object came: {_short(response.text)}")
    return dict(said)


def require(condition: bool, what_is_wrong: str) -> None:
    """Raises CheckError unless the condition holds."""
    if not condition:
        raise CheckError(what_is_wrong)


def part(said: Any, *path: str | int, of: type | tuple[type, ...] = object) -> Any:
    """What is at this place of a response; raises CheckError where there is nothing of this type."""
    name = ".".join(map(str, path))
    for step in path:
        try:
            said = said[step]
        except (LookupError, TypeError):
            raise CheckError(f"there is no {name}") from None
    require(isinstance(said, of), f"{name} is {_short(json.dumps(said))}")
    return said


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"


Check = Callable[[Target], Any]
"""A coroutine function: returns what was found, as a text; raises CheckError or SkippedError."""
