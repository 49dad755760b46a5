"""`/v1/chat/completions`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat import _notebook
from fastchat.api.common import Refused, Request, Response, Sampling, Usage
from fastchat.api.formats import Formatted
from fastchat.api.logprobs import ChatLogprobs
from fastchat.api.tools import CalledFunction, FunctionCall, ResponseToolCall, ToolCall, ToolUse


class Part(Request):
    """One part of a message. Text and refusals of earlier turns are served; pictures, sound and files are refused."""

    type: str = Field(max_length=64)
    text: str | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _is_text(self) -> Self:
        if self.type not in ("text", "input_text", "output_text", "refusal"):
            reason = "parts of type '{type}' are not served here: send text"
            raise PydanticCustomError("unsupported_parameter", reason, {"type": self.type})
        if self.text is None and self.refusal is None:
            raise PydanticCustomError("missing_text", "a part of type '{type}' needs its text", {"type": self.type})
        return self


Parts = Annotated[list[Part], Field(fail_fast=True, min_length=1, max_length=4096)]


class Message(Request):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Parts | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = Field(None, fail_fast=True, max_length=128)
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    audio: Annotated[None, Refused()] = None
    annotations: list[Any] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and (self.role != "assistant" or not (self.calls or self.refusal is not None)):
            reason = "a message of role '{role}' needs content"
            raise PydanticCustomError("missing_content", reason, {"role": self.role})
        return self

    @property
    def text(self) -> str:
        """Its content as one text; empty where it has none."""
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text if part.text is not None else part.refusal or "" for part in self.content)

    @property
    def calls(self) -> list[ToolCall]:
        """The calls that this turn of the assistant made, by either name of the field."""
        if self.tool_calls:
            return self.tool_calls
        return [ToolCall(function=self.function_call)] if self.function_call else []


class ChatCompletionRequest(Sampling, ToolUse, Formatted):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(fail_fast=True, min_length=1, max_length=4096)
    max_tokens: int | None = Field(None, ge=1, lt=2**31, description="Longest completion, in tokens.")
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31, description="OpenAI's newer name of max_tokens.")
    logprobs: bool | None = Field(None, description="Add the log probability of every token.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="So many of the likeliest tokens beside it.")
    reasoning_effort: str | None = Field(
        None, max_length=32, description="Given to the chat template; none, and only that, turns reasoning off."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, max_length=64, description="Variables of the model's chat template, such as enable_thinking."
    )
    add_generation_prompt: bool | None = Field(None, description="Open the assistant's turn. Default true.")
    continue_final_message: bool | None = Field(None, description="Continue the last message instead of a new turn.")
    include_reasoning: bool | None = Field(None, description="Default true.")
    echo: Annotated[None, Refused((False,))] = None
    # Change nothing in the completion.
    prediction: dict[str, Any] | None = None
    verbosity: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    # Would change the completion.
    modalities: Annotated[None, Refused((["text"],))] = None
    audio: Annotated[None, Refused()] = None
    web_search_options: Annotated[None, Refused()] = None
    moderation: Annotated[None, Refused()] = None
    chat_template: Annotated[None, Refused()] = None
    documents: Annotated[None, Refused(([],))] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError(
                "top_logprobs", "'top_logprobs' needs 'logprobs': true", {"param": "top_logprobs"}
            )
        if self.continue_final_message and self.add_generation_prompt:
            reason = "'continue_final_message' and 'add_generation_prompt' exclude each other"
            raise PydanticCustomError("continue_final_message", reason, {"param": "continue_final_message"})
        return self

    @property
    def limit(self) -> int | None:
        """Longest completion in tokens, by either name; None: up to the end of the context."""
        return self.max_completion_tokens or self.max_tokens


class ChatMessage(Response):
    """The model's turn."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ResponseToolCall] | None = None
    function_call: CalledFunction | None = None


class ChatChoice(Response):
    """One of `n` completions."""

    index: int = 0
    message: ChatMessage = Field(default_factory=ChatMessage)
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None


class ChatCompletion(Response):
    """Response of `POST /v1/chat/completions`."""

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[ChatChoice] = Field(default_factory=list)
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None

    def _repr_html_(self) -> str:
        """For notebooks."""
        note = f"{self.model}, {self.usage.in_words()}" if self.usage else self.model
        if len(self.choices) == 1:
            return _notebook.text(_said(self.choices[0].message), note)
        rows = [(each.index, _said(each.message), each.finish_reason or "") for each in self.choices]
        return _notebook.table(("index", f"message of {note}", "ended by"), rows)


def _said(message: ChatMessage) -> str:
    """Its text, then its calls of tools."""
    calls = [f"{call.function.name}({call.function.arguments})" for call in message.tool_calls or ()]
    return "\n".join(filter(None, [message.content, message.refusal, *calls]))


class ChatChunkChoice(Response):
    """What one completion gained."""

    index: int = 0
    delta: ChatMessage = Field(default_factory=ChatMessage)
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None


class ChatCompletionChunk(Response):
    """One event of a chat stream."""

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChatChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
