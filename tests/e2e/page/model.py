"""A model that says what a test has it say, on a real socket behind a real gateway."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from support.scripted_worker import Connection, Worker


@dataclass
class Script:
    """One response of the model."""

    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name and arguments of tool calls."""
    error: tuple[int, dict[str, Any]] | None = None
    pauses: bool = False
    """It says half of it, and the rest once `ScriptedModel.go_on` is set."""
    breaks: bool = False
    """It says half of it, and its worker is lost."""
    piece: int = 11
    """Characters of an event."""


class ScriptedModel:
    """Answers the last message by its script, or says it back."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.requests: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()

    async def behave(self, connection: Connection) -> None:
        asked = connection.request.json
        self.requests.append(asked)
        said = asked["messages"][-1]["content"]
        script = self.scripts.get(said) or Script(f"{asked['model']} heard: {said}")
        if script.error:
            connection.answer(*script.error)
            return
        connection.start_stream()
        for number, delta in enumerate(_deltas(script)):
            if script.pauses and number == 2:
                await self.go_on.wait()
            if script.breaks and number == 2:
                await connection.writer.drain()
                connection.reset()
                return
            await connection.chunk(_event(asked["model"], choices=[{"index": 0, "delta": delta}]))
        ending = "tool_calls" if script.calls else "stop"
        await connection.chunk(_event(asked["model"], choices=[{"index": 0, "delta": {}, "finish_reason": ending}]))
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        await connection.chunk(_event(asked["model"], choices=[], usage=usage) + b"data: [DONE]\n\n")
        connection.writer.write(b"0\r\n\r\n")


def _deltas(script: Script) -> list[dict[str, Any]]:
    """Pieces of a response."""
    found: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name, text in (("reasoning_content", script.reasoning), ("content", script.content)):
        found += [{name: text[at : at + script.piece]} for at in range(0, len(text), script.piece)]
    for index, (name, arguments) in enumerate(script.calls):
        about = {"index": index, "id": f"call-{index}", "type": "function"}
        half = len(arguments) // 2
        found.append({"tool_calls": [about | {"function": {"name": name, "arguments": arguments[:half]}}]})
        found.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    return found


def _event(model: str, **fields: Any) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model, **fields}
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def start(model: ScriptedModel, *names: str) -> Worker:
    """A worker that serves the model under these names."""
    cards = [{"id": name, "task": "Generate", "max_model_len": 2048} for name in names]
    return await Worker(behaviour=model.behave, cards=cards).start()
