"""Messages as chat templates know them.

Source: https://huggingface.co/docs/transformers/chat_extras
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastchat.api import Message
from fastchat.api.tools import ToolCall

Turn = dict[str, Any]

_ROLES = {"developer": "system", "function": "tool"}  # templates know these names only


@dataclass(frozen=True)
class TurnStyle:
    """What a template wants of turns that call functions, beside that the content of all is a list of parts.

    arguments_as_text: those of calls as text, not as an object. short_ids: ids of nine letters and digits, as Mistral's
    take no others. no_content: what a call without content has: null, an empty text, or no such field.
    """

    parts: bool = False
    arguments_as_text: bool = False
    short_ids: bool = False
    no_content: Literal["null", "empty", "absent"] = "absent"


def turns(messages: Sequence[Message], style: TurnStyle) -> list[Turn]:
    """The conversation; the result of a call knows the name of the function."""
    called = {call.id: call.function.name for message in messages for call in message.calls if call.id}
    return [_turn(message, style, called.get(message.tool_call_id or "")) for message in messages]


def _turn(message: Message, style: TurnStyle, function: str | None) -> Turn:
    """The fields that say something; a field that is null would be written as a word by many templates."""
    reasoning = message.reasoning_content or message.reasoning
    fields = {
        "role": role_of(message),
        "content": _content(message, style),
        "name": message.name or function,
        "tool_call_id": _id(message.tool_call_id, style),
        "tool_calls": [_call(call, style) for call in message.calls] or None,
        "reasoning_content": reasoning,
        "thinking": reasoning,
    }
    nothing: Turn = {"content": None} if style.no_content == "null" and fields["content"] is None else {}
    return {name: value for name, value in fields.items() if value is not None} | nothing


def _content(message: Message, style: TurnStyle) -> Any:
    if message.content is None and message.calls:
        return "" if style.no_content == "empty" else None
    return as_parts(message.text) if style.parts else message.text


def role_of(message: Message) -> str:
    """The role by the name that templates have for it."""
    return _ROLES.get(message.role, message.role)


def as_parts(text: str) -> list[Turn]:
    """A text as content for templates that read parts."""
    return [{"type": "text", "text": text}]


def _call(call: ToolCall, style: TurnStyle) -> Turn:
    arguments = _as_text(call) if style.arguments_as_text else _as_object(call)
    called = {"type": "function", "function": {"name": call.function.name, "arguments": arguments}}
    return called | ({"id": _id(call.id, style)} if call.id else {})


def _as_text(call: ToolCall) -> str:
    arguments = call.function.arguments
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _as_object(call: ToolCall) -> Any:
    """What is no object stays the text that it is."""
    arguments = call.function.arguments
    try:
        read = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments
    return read if isinstance(read, dict) else arguments


def _id(text: str | None, style: TurnStyle) -> str | None:
    """The id, or a short one that is the same for the same."""
    if text is None or not style.short_ids or (len(text) == 9 and text.isalnum()):
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:9]
