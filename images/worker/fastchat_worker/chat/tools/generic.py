"""Tools for models whose template knows none: functions and form are described in the system's text."""

import json
from collections.abc import Sequence

from fastchat.api import Message
from fastchat.api.tools import Function, ToolUse

_BEFORE = "You can call functions. These are the functions, one in a line as JSON:"
_FORM = (
    "To call a function, write nothing but this, with the function's name and its arguments as JSON:\n"
    '<tool_call>\n{"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}\n</tool_call>'
)
_FREE = "Call a function only where it helps; otherwise answer in words."
_RESULT = "<tool_response>"
_FORCED = "Call a function now."


def described(use: ToolUse) -> str:
    """What tells a model its functions and how it calls them."""
    functions = "\n".join(json.dumps(_declared(each), ensure_ascii=False) for each in use.offered)
    return "\n\n".join((f"{_BEFORE}\n{functions}", _FORM, _FORCED if use.must_call else _FREE))


def in_words(messages: Sequence[Message], use: ToolUse, *, in_system: bool) -> list[Message]:
    """The conversation with functions, calls and their results as text. in_system: the template takes system texts."""
    turns = _merged([_spoken(message) for message in messages])
    if not use.offered:
        return turns
    text = described(use)
    at = 0 if in_system else next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
    if in_system and turns[0].role not in ("system", "developer"):
        return [Message(role="system", content=text), *turns]
    if at is None:
        return [Message(role="user", content=text), *turns]
    both = (turns[at].text, text) if in_system else (text, turns[at].text)
    turns[at] = Message(role=turns[at].role, content="\n\n".join(filter(None, both)))
    return turns


def _declared(function: Function) -> dict[str, object]:
    return {
        "name": function.name,
        **({"description": function.description} if function.description else {}),
        "parameters": function.parameters or {"type": "object", "properties": {}},
    }


def _spoken(message: Message) -> Message:
    """A turn with its calls, or the result of one, as text."""
    if message.role in ("tool", "function"):
        return Message(role="user", content=f"{_RESULT}\n{message.text}\n</tool_response>")
    if not message.calls:
        return message
    calls = (
        f'<tool_call>\n{{"name": {json.dumps(each.function.name)}, "arguments": {_text(each.function.arguments)}}}'
        "\n</tool_call>"
        for each in message.calls
    )
    return Message(role="assistant", content="\n".join(filter(None, (message.text, *calls))))


def _text(arguments: str | dict[str, object]) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _merged(turns: Sequence[Message]) -> list[Message]:
    """A result and what follows it of the user in one turn: templates want user and assistant in turns."""
    merged: list[Message] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if last and last.role == turn.role == "user" and any(each.text.startswith(_RESULT) for each in (last, turn)):
            merged[-1] = Message(role="user", content=f"{last.text}\n{turn.text}")
        else:
            merged.append(turn)
    return merged
