"""Messages by the description that a tokenizer brings along: transformers' `response_template`.

Source: transformers.utils.chat_parsing
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers.utils.chat_parsing.response_parser import ResponseParser
from transformers.utils.chat_parsing.response_templates import ResponseTemplate, load_response_template

from fastchat.api.tools import Function
from fastchat_worker.chat.tools.message import Message
from fastchat_worker.errors import LoadError
from fastchat_worker.output.parser import Delta

_REASONING = ("reasoning_content", "reasoning", "thinking")
_CALLS = "tool_calls"


def declared(tokenizer: Any) -> ResponseTemplate | None:
    """The description of a tokenizer, in which no field has to be there. Raises: LoadError for one that is broken."""
    own = getattr(tokenizer, "response_template", None)
    if not own:
        return None
    try:
        template = load_response_template(own)
    except (ValueError, TypeError) as error:
        raise LoadError(f"the tokenizer's response_template cannot be used: {error}") from None
    template.fields = {name: replace(field, optional=True) for name, field in template.fields.items()}
    return template


def marks(template: ResponseTemplate) -> str:
    """The texts and expressions that part its fields."""
    parts: list[str] = []
    for field in template.fields.values():
        parts += [each.pattern for each in (field.open_re, field.close_re) if each is not None]
        parts += [*(field.open_literals or ()), *(field.close_literals or ()), json.dumps(field.content_args)]
    return "\n".join(parts)


class DeclaredParser:
    """Reads one message: content and reasoning as they come, a call when it is whole. prompt: what it follows."""

    def __init__(
        self, template: ResponseTemplate, message: Message, prompt: str, functions: Sequence[Function]
    ) -> None:
        tools = [{"function": {"name": each.name, "parameters": each.parameters or {}}} for each in functions]
        self._message = message
        self._parser = _Regions(template, prefix=prompt, tools=tools)
        self._raw: list[str] = []

    def feed(self, text: str) -> list[Delta]:
        """What is certain once this text is there."""
        return self._taken(self._parser.feed(text))

    def end(self) -> list[Delta]:
        """What was held back; no text follows."""
        _, events = self._parser.finalize()
        deltas = self._taken(events)
        self._message.end()
        return [*deltas, *self._message.taken()]

    def _taken(self, events: Sequence[dict[str, Any]]) -> list[Delta]:
        for event in events:
            if event["field"] == _CALLS:
                self._call(event)
            elif event["field"] in _REASONING:
                self._reasoning(event)
            elif event["type"] == "region_chunk":
                self._message.content(event["text"])
        return self._message.taken()

    def _reasoning(self, event: dict[str, Any]) -> None:
        if event["type"] == "region_chunk":
            self._message.reasoning(event["text"])
        elif event["type"] == "region_close":
            self._message.reasoned()

    def _call(self, event: dict[str, Any]) -> None:
        if event["type"] == "region_open":
            self._raw = []
        elif event["type"] == "region_chunk":
            self._raw.append(event["text"])
        elif event["type"] == "region_close":
            calls = event["value"] if isinstance(event["value"], list) else [event["value"]]
            read = [_called(each, self._message) for each in calls]
            for name, arguments in filter(None, read):
                self._message.call(name)
                self._message.arguments(arguments)
            if not all(read):
                self._message.content("".join(self._raw))


class _Regions(ResponseParser):  # type: ignore[misc]
    """Closes a region whose text is not what it should be without a value, where transformers raises."""

    def _close_current(self, events: list[dict[str, Any]]) -> None:
        field = self._current
        try:
            super()._close_current(events)
        except (ValueError, TypeError, KeyError):
            events.append({"type": "region_close", "field": field, "value": None})
            self._reset_to_implicit()


def _called(value: Any, message: Message) -> tuple[str, str] | None:
    """The name and the arguments of a call. None for what is none, or not offered."""
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or function.get("name") not in message.functions:
        return None
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, dict):
        return None
    return function["name"], json.dumps(arguments, ensure_ascii=False)
