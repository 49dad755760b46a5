"""Turns of a conversation as a chat's messages, and the chat itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fastchat.api import ChatCompletionRequest, Message, ToolCall, request_error
from fastchat_worker.errors import RequestError


class Turns:
    """Collects messages. Texts of the system at the beginning are one message: templates look for one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._called: dict[str, str] = {}

    def say(self, role: Any, text: str) -> None:
        """A turn of the user or the system."""
        first = self.messages[0] if len(self.messages) == 1 else None
        if role in ("system", "developer"):
            role = "system"
            if first is not None and first.role == "system":
                text = f"{self.messages.pop().text}\n\n{text}"
        self.messages.append(Message(role=role, content=text))

    def answer(self, text: str, thought: str, calls: Sequence[ToolCall]) -> None:
        """A turn of the assistant. Its content is never null: some templates take a text for granted."""
        self._called |= {call.id: call.function.name for call in calls if call.id}
        message = Message(role="assistant", content=text, tool_calls=list(calls) or None)
        if thought:
            message.reasoning_content = thought
        self.messages.append(message)

    def result(self, call_id: str, text: str) -> None:
        """What a call came to."""
        name = self._called.get(call_id)
        self.messages.append(Message(role="tool", tool_call_id=call_id, name=name, content=text))


def chat(given: Mapping[str, Any]) -> ChatCompletionRequest:
    """The chat of these fields, where they are not None. Raises: RequestError 400."""
    try:
        return ChatCompletionRequest(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as invalid:
        raise RequestError(400, request_error(invalid)) from None


def plain(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for templates that take less: one text of the system, first; then users and assistants in
    turns, which is to say that what two messages of a user say is one.
    """
    system = [message.text for message in messages if message.role in ("system", "developer")]
    turns = Turns()
    if system:
        turns.say("system", "\n\n".join(system))
    for message in messages:
        last = turns.messages[-1] if turns.messages else None
        if message.role in ("system", "developer"):
            continue
        if message.role == "user" and last is not None and last.role == "user":
            turns.messages[-1] = Message(role="user", content=f"{last.text}\n\n{message.text}")
        else:
            turns.messages.append(message)
    return turns.messages


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The same for templates that know no system: its text is the beginning of what the user says first."""
    system, *turns = plain(messages)
    if system.role != "system" or not turns or turns[0].role != "user":
        return [system, *turns]
    return [Message(role="user", content=f"{system.text}\n\n{turns[0].text}"), *turns[1:]]
