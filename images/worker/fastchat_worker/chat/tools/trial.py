"""A trial of a chat template with tools, when a model is loaded: what it takes, and how."""

from dataclasses import dataclass
from typing import Literal

from fastchat.api import Message
from fastchat.api.tools import FunctionCall, ToolCall
from fastchat_worker.chat.jinja import ChatTemplateError
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.turns import Turn, TurnStyle, turns

_NAME, _KEY = "trial_function", "trial_argument"
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Trial.",
        "parameters": {"type": "object", "properties": {_KEY: {"type": "string"}}, "required": [_KEY]},
    },
}
_USER = Message(role="user", content="Trial-question")
_RESULT = "Trial-result"
_NO_CONTENT: tuple[Literal["absent", "null", "empty"], ...] = ("absent", "null", "empty")
_ID = "call_0123456789abcdef"
_CALLED = (
    _USER,
    Message(
        role="assistant",
        tool_calls=[ToolCall(id=_ID, function=FunctionCall(name=_NAME, arguments=f'{{"{_KEY}": "value"}}'))],
    ),
    Message(role="tool", tool_call_id=_ID, content=_RESULT),
)


@dataclass(frozen=True)
class Rendering:
    """tools: the template writes them into its text. style: what it wants of turns with calls."""

    tools: bool
    style: TurnStyle


def tried(template: ChatTemplate) -> Rendering:
    """What a template makes of tools and of calls."""
    parts = template.wants_parts
    knows = _NAME in _written(template, turns((_USER,), TurnStyle(parts)))
    styles = (
        TurnStyle(parts, as_text, short_ids, no_content)
        for short_ids in (False, True)
        for as_text in (False, True)
        for no_content in _NO_CONTENT
    )
    return Rendering(knows, next((style for style in styles if _is_taken(template, style)), TurnStyle(parts)))


def _is_taken(template: ChatTemplate, style: TurnStyle) -> bool:
    """Call and result stand in the text, the arguments neither as Python writes an object nor as a text within JSON."""
    text = _written(template, turns(_CALLED, style)).rpartition("Trial-question")[2]
    if _KEY not in text or _RESULT not in text or "None" in text:
        return False
    return "{'" + _KEY not in text and '{\\"' + _KEY not in text


def _written(template: ChatTemplate, written: list[Turn]) -> str:
    """The text; empty where the template does not take it."""
    try:
        return template.write(written, tools=[_TOOL], add_generation_prompt=True)
    except ChatTemplateError:
        return ""
