"""A trial of a chat template with tools, when a model is loaded: what it takes, and how."""

from dataclasses import dataclass

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
_ID = "call_0123456789abcdef"
_CALLED = (
    _USER,
    Message(
        role="assistant",
        tool_calls=[ToolCall(id=_ID, function=FunctionCall(name=_NAME, arguments=f'{{"{_KEY}": "value"}}'))],
    ),
    Message(role="tool", tool_call_id=_ID, content="Result."),
)


@dataclass(frozen=True)
class Rendering:
    """tools: the template writes them into its text. style: what it wants of turns with calls."""

    tools: bool
    style: TurnStyle


def tried(template: ChatTemplate) -> Rendering:
    """What a template makes of tools and of calls."""
    knows = _NAME in _written(template, turns((_USER,), TurnStyle(template.wants_parts)))
    for short_ids in (False, True):
        for as_text in (False, True):
            style = TurnStyle(template.wants_parts, as_text, short_ids)
            text = _written(template, turns(_CALLED, style))
            if _KEY in text.rpartition("Trial-question")[2] and not _is_repr(text):
                return Rendering(knows, style)
    return Rendering(knows, TurnStyle(template.wants_parts))


def _written(template: ChatTemplate, written: list[Turn]) -> str:
    """The text; empty where the template does not take it."""
    try:
        return template.write(written, tools=[_TOOL], add_generation_prompt=True)
    except ChatTemplateError:
        return ""


def _is_repr(text: str) -> bool:
    """The arguments stand there as Python writes an object, or as a text within JSON."""
    return "{'" + _KEY in text or '{\\"' + _KEY in text
