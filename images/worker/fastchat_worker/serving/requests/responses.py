"""`/v1/responses` as a chat."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from fastchat.api import ChatCompletionRequest, Message, ToolCall
from fastchat.api.formats import JsonSchema, JsonSchemaFormat, TextFormat
from fastchat.api.responses import (
    CustomCallItem,
    CustomOutputItem,
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    InputMessage,
    ReasoningItem,
    ResponsesRequest,
)
from fastchat.api.responses.input import text_of
from fastchat.api.responses.request import FlatJsonSchema
from fastchat.api.responses.tools import AllowedChoice, NamedChoice, flat_name
from fastchat.api.tools import AllowedTools, AllowedToolsChoice, FunctionCall, NamedFunction, NamedTool, Tool
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.requests.turns import Turns, chat

_NAMES = {"messages": "input", "response_format": "text.format", "max_completion_tokens": "max_output_tokens"}
"""Fields of a chat → what they are called here."""
_Called = FunctionCallItem | CustomCallItem


def to_chat(request: ResponsesRequest) -> ChatCompletionRequest:
    """The same request as a chat. Raises: RequestError 400 where a chat could not be asked for that."""
    given: dict[str, Any] = {
        "model": request.model,
        "messages": messages(request),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens": request.max_output_tokens,
        "stream": request.stream,
        "response_format": _form(request),
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "parallel_tool_calls": request.parallel_tool_calls,
    }
    if request.declared:
        given |= {"tools": [Tool(function=tool.function) for tool in request.declared], "tool_choice": _choice(request)}
    elif request.tool_choice == "required":
        given["tool_choice"] = "required"  # which chat refuses: there is nothing to call
    if request.wants_logprobs:
        given |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    return chat(given)


def renamed(error: RequestError) -> RequestError:
    """The error about the chat as one about the request that it was made of."""
    said = error.error.model_copy(update={"param": _NAMES.get(error.error.param or "", error.error.param)})
    return RequestError(error.status, said, error.headers)


def messages(request: ResponsesRequest) -> list[Message]:
    """The conversation: the instructions, then the items in order; what one turn said and called is one message."""
    turns = Turns()
    if request.instructions:
        turns.say("system", request.instructions)
    items = [InputMessage(role="user", content=request.input)] if isinstance(request.input, str) else request.input
    for is_assistant, run in groupby(items, _is_of_assistant):
        if is_assistant:
            _add_turn(turns, run)
        else:
            _add_others(turns, run)
    return turns.messages


def _is_of_assistant(item: InputItem) -> bool:
    if isinstance(item, InputMessage):
        return item.role == "assistant"
    return isinstance(item, ReasoningItem | FunctionCallItem | CustomCallItem)


def _add_turn(turns: Turns, items: Iterable[InputItem]) -> None:
    """Reasoning begins a new message where the one before has said or called something."""
    text, thought, calls = "", "", list[ToolCall]()
    for item in items:
        if isinstance(item, ReasoningItem):
            if text or calls:
                turns.answer(text, thought, calls)
                text, thought, calls = "", "", []
            thought += item.text
        elif isinstance(item, InputMessage):
            text += text_of(item.content)
        elif isinstance(item, _Called):
            calls.append(_call(item))
    turns.answer(text, thought, calls)


def _add_others(turns: Turns, items: Iterable[InputItem]) -> None:
    for item in items:
        if isinstance(item, InputMessage):
            turns.say(item.role, text_of(item.content))
        elif isinstance(item, FunctionOutputItem | CustomOutputItem):
            turns.result(item.call_id, text_of(item.output))


def _call(item: _Called) -> ToolCall:
    arguments = item.arguments if isinstance(item, FunctionCallItem) else json.dumps({"input": item.input})
    name = flat_name(item.name, item.namespace)[:128]
    return ToolCall(id=item.call_id, function=FunctionCall(name=name, arguments=arguments))


def _form(request: ResponsesRequest) -> Any:
    form = request.text.format if request.text else None
    if not isinstance(form, FlatJsonSchema):
        return None if isinstance(form, TextFormat) else form
    schema = JsonSchema(name=form.name, description=form.description, schema=form.schema_, strict=form.strict)
    return JsonSchemaFormat(type="json_schema", json_schema=schema)


def _choice(request: ResponsesRequest) -> Any:
    choice = request.tool_choice
    if not isinstance(choice, AllowedChoice | NamedChoice):
        return choice
    named = list(_named(request))
    if isinstance(choice, NamedChoice) and len(named) == 1:
        return named[0]
    if not named:
        return "none"
    mode = choice.mode if isinstance(choice, AllowedChoice) else "required"
    return AllowedToolsChoice(type="allowed_tools", allowed_tools=AllowedTools(mode=mode, tools=named))


def _named(request: ResponsesRequest) -> Iterator[NamedTool]:
    for tool in request.chosen:
        yield NamedTool(function=NamedFunction(name=tool.name))
