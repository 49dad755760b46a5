"""What OpenAI's clients need of tools and schemas, and of a server that stops."""

import asyncio
import json
import os
import signal
from typing import Any

import httpx

from fastchat.api.routes import CHAT_COMPLETIONS
from fastchat.cli.verify.target import CheckError, SkippedError, Target, part, require, streamed

_COLOURS = ["red", "green", "blue"]
_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": _COLOURS}},
    "required": ["colour"],
    "additionalProperties": False,
}
_TOOLS = {
    "tools": [{"type": "function", "function": {"name": "paint", "description": "Paints.", "parameters": _SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "paint"}},
    "max_tokens": 128,
}


async def tools(target: Target) -> str:
    """A function that has to be called is called, with arguments of its schema."""
    call = part(await target.chat(**_TOOLS), "choices", 0, "message", "tool_calls", 0)
    part(call, "id", of=str)
    _check_call(part(call, "function", "name"), part(call, "function", "arguments", of=str))
    return f"paint({call['function']['arguments']})"


async def streamed_tools(target: Target) -> str:
    """The same in a stream, where arguments come in pieces with the index of their call."""
    found = await target.stream(**_TOOLS)
    deltas = [call for choice in found.choices for call in choice["delta"].get("tool_calls") or ()]
    require(bool(deltas), "no event has tool_calls")
    require({part(delta, "index") for delta in deltas} == {0}, "the pieces have other indices than 0")
    name = "".join(delta.get("function", {}).get("name") or "" for delta in deltas)
    arguments = "".join(delta.get("function", {}).get("arguments") or "" for delta in deltas)
    require(sum(bool(delta.get("id")) for delta in deltas) >= 1, "no piece has the call's id")
    _check_call(name, arguments)
    return f"paint({arguments}) in {len(deltas)} pieces"


def _check_call(name: str, arguments: str) -> None:
    require(name == "paint", f"{name!r} was called instead of 'paint'")
    _check_colour(arguments, "arguments are")


async def schema(target: Target) -> str:
    """`response_format` with a schema is kept."""
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
    said = await target.chat(response_format=form, max_tokens=128)
    text = str(part(said, "choices", 0, "message", "content", of=str))
    _check_colour(text, "the answer is")
    return text


def _check_colour(text: str, what: str) -> None:
    try:
        said: Any = json.loads(text)
    except ValueError:
        raise CheckError(f"{what} no JSON: {text[:80]!r}") from None
    fits = isinstance(said, dict) and set(said) == {"colour"} and said["colour"] in _COLOURS
    require(fits, f"{what} not of the schema: {text[:80]!r}")


def drain(pid: int | None) -> Any:
    """A check that ends the server: what it has begun, it completes. Without its process's id it is skipped."""

    async def check(target: Target) -> str:
        if pid is None:
            raise SkippedError("it ends the server; --drain PID does it")
        body = target.body(stream=True, max_tokens=max(target.max_tokens, 64))
        async with target.http.stream("POST", CHAT_COMPLETIONS.path, json=body) as response:
            require(response.status_code == 200, f"status {response.status_code}")
            _terminate(pid)
            found = await streamed(response)
        await _gone(target)
        return f"{len(found.chunks)} events came after SIGTERM, then it was gone"

    return check


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError as error:
        raise CheckError(f"process {pid} cannot be ended: {error.strerror}") from None


async def _gone(target: Target) -> None:
    """Returns when nobody listens any more; raises CheckError after half a minute."""
    for _ in range(300):
        try:
            await target.http.get("/health")
        except httpx.TransportError:
            return
        await asyncio.sleep(0.1)
    raise CheckError("it still serves after 30 s")
