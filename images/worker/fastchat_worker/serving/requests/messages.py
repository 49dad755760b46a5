"""`/v1/messages` as a chat."""

import json
from typing import Any

from fastchat.api import ChatCompletionRequest, Message, ToolCall
from fastchat.api.formats import JsonSchema, JsonSchemaFormat
from fastchat.api.messages import (
    Conversation,
    MessagesRequest,
    MessagesTurn,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from fastchat.api.messages.input import text_of
from fastchat.api.tools import Function, FunctionCall, NamedFunction, NamedTool, Tool
from fastchat_worker.serving.requests.turns import Turns, chat


def to_chat(request: Conversation) -> ChatCompletionRequest:
    """The same request as a chat, or the chat whose prompt is to be counted.

    Raises: RequestError 400 where a chat could not be asked for that.
    """
    given: dict[str, Any] = {"model": request.model, "messages": messages(request), "response_format": _form(request)}
    given |= _tools(request) | _thinking(request)
    if _is_begun(request):
        given |= {"continue_final_message": True, "add_generation_prompt": False}
    if isinstance(request, MessagesRequest):
        given |= {
            "max_completion_tokens": request.max_tokens,
            "stop": request.stop_sequences,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stream": request.stream,
        }
    return chat(given)


def messages(request: Conversation) -> list[Message]:
    """The conversation: what the system says, then the turns; the results of tools are turns of their own."""
    turns = Turns()
    if system := _system(request):
        turns.say("system", system)
    for turn in request.messages:
        if turn.role == "assistant":
            _add_assistant(turns, turn)
        else:
            _add_others(turns, turn)
    return turns.messages


def _system(request: Conversation) -> str:
    if isinstance(request.system, str):
        return request.system
    return "\n\n".join(block.text for block in request.system or ())


def _add_assistant(turns: Turns, turn: MessagesTurn) -> None:
    calls = [_call(block) for block in turn.blocks if isinstance(block, ToolUseBlock)]
    thought = "".join(block.thinking for block in turn.blocks if isinstance(block, ThinkingBlock))
    turns.answer(text_of(turn.content), thought, calls)


def _call(block: ToolUseBlock) -> ToolCall:
    return ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=json.dumps(block.input)))


def _add_others(turns: Turns, turn: MessagesTurn) -> None:
    """Texts between two results are one turn."""
    said: list[str] = []
    for block in turn.blocks:
        if isinstance(block, ToolResultBlock):
            _flush(turns, turn.role, said)
            turns.result(block.tool_use_id, block.text)
        elif isinstance(block, TextBlock):
            said.append(block.text)
    results = any(isinstance(block, ToolResultBlock) for block in turn.blocks)
    if said or not results:
        _flush(turns, turn.role, said or [""])


def _flush(turns: Turns, role: str, said: list[str]) -> None:
    if said:
        turns.say(role, "\n\n".join(said))
        said.clear()


def _tools(request: Conversation) -> dict[str, Any]:
    choice, tools = request.tool_choice, request.own_tools
    if not tools:
        needs_one = choice is not None and choice.type in ("any", "tool")
        return {"tool_choice": "required"} if needs_one else {}  # which chat refuses: there is nothing to call
    declared = [
        Tool(function=Function(name=t.name, description=t.description, parameters=t.input_schema, strict=t.strict))
        for t in tools
    ]
    if choice is None:
        return {"tools": declared}
    named = NamedTool(function=NamedFunction(name=choice.name)) if choice.name and choice.type == "tool" else None
    kinds: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none", "tool": named}
    parallel = False if choice.disable_parallel_tool_use else None
    return {"tools": declared, "tool_choice": kinds[choice.type], "parallel_tool_calls": parallel}


def _thinking(request: Conversation) -> dict[str, Any]:
    """Off unless it is asked for, as at Anthropic."""
    if request.thinking is None or request.thinking.type == "disabled":
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": request.output_config.effort if request.output_config else None}


def _form(request: Conversation) -> JsonSchemaFormat | None:
    if request.form is None:
        return None
    return JsonSchemaFormat(type="json_schema", json_schema=JsonSchema(schema=request.form.schema_))


def _is_begun(request: Conversation) -> bool:
    """The last turn is the assistant's, which the model is to continue."""
    last = request.messages[-1]
    return last.role == "assistant" and any(isinstance(block, TextBlock) for block in last.blocks[-1:])
