"""Messages as chat templates know them.

Source: https://huggingface.co/docs/transformers/chat_extras
"""

import json
from typing import Any

from fastchat.api import Message
from fastchat.api.tools import ToolCall

Turn = dict[str, Any]

_ROLES = {"developer": "system", "function": "tool"}  # templates know these names only


def turn_of(message: Message, *, parts: bool) -> Turn:
    """The fields that say something; a field that is null would be written as a word by many templates.

    parts: the content is a list of parts.
    """
    reasoning = message.reasoning_content or message.reasoning
    content = None if message.content is None and message.calls else message.text
    fields = {
        "role": role_of(message),
        "content": as_parts(content) if parts and content is not None else content,
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "tool_calls": [_call(call) for call in message.calls] or None,
        "reasoning_content": reasoning,
        "thinking": reasoning,
    }
    return {name: value for name, value in fields.items() if value is not None}


def role_of(message: Message) -> str:
    """The role by the name that templates have for it."""
    return _ROLES.get(message.role, message.role)


def as_parts(text: str) -> list[Turn]:
    """A text as content for templates that read parts."""
    return [{"type": "text", "text": text}]


def _call(call: ToolCall) -> Turn:
    called = {"type": "function", "function": {"name": call.function.name, "arguments": _arguments(call)}}
    return called | ({"id": call.id} if call.id else {})


def _arguments(call: ToolCall) -> Any:
    """An object, as templates want them; what is none stays the text that it is."""
    arguments = call.function.arguments
    try:
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments
    return read if isinstance(read, dict) else arguments
