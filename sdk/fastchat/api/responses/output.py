"""Responses of `/v1/responses`, their items, and the events of their streams."""

from typing import Any

from pydantic import Field

from fastchat.api.common import Response


class OutputText(Response):
    """Text of a message."""

    type: str = "output_text"
    text: str = ""
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[Any] = Field(default_factory=list)


class OutputMessage(Response):
    """What the model says."""

    type: str = "message"
    id: str = ""
    status: str = "in_progress"
    role: str = "assistant"
    content: list[OutputText] = Field(default_factory=list)


class ReasoningText(Response):
    """Reasoning in the model's own words."""

    type: str = "reasoning_text"
    text: str = ""


class SummaryText(Response):
    """Reasoning where clients look for its summary."""

    type: str = "summary_text"
    text: str = ""


class ReasoningOutput(Response):
    """What the model thinks."""

    type: str = "reasoning"
    id: str = ""
    status: str = "in_progress"
    summary: list[SummaryText] = Field(default_factory=list)
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class ResponseFunctionCall(Response):
    """A call of a function; `namespace` is there where it was declared in one."""

    type: str = "function_call"
    id: str = ""
    status: str = "in_progress"
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    namespace: str | None = None


class CustomCall(Response):
    """A call of a custom tool."""

    type: str = "custom_tool_call"
    id: str = ""
    status: str = "in_progress"
    call_id: str = ""
    name: str = ""
    input: str = ""
    namespace: str | None = None


OutputItem = OutputMessage | ReasoningOutput | ResponseFunctionCall | CustomCall


class InputTokensDetails(Response):
    """Of the input's tokens."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Response):
    """Of the output's tokens."""

    reasoning_tokens: int = 0


class ResponsesUsage(Response):
    """Tokens of one request."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = Field(default_factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = Field(default_factory=OutputTokensDetails)
    total_tokens: int = 0


class ResponseError(Response):
    """Why a response failed."""

    code: str = "server_error"
    message: str = ""


class ResponsesResponse(Response):
    """Response of `POST /v1/responses`.

    `usage` comes last: whoever searches a long event for it takes the last thing that looks like it.
    """

    id: str = ""
    object: str = "response"
    created_at: int = 0
    status: str = "in_progress"
    background: bool = False
    completed_at: int | None = None
    error: ResponseError | None = None
    incomplete_details: dict[str, str] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    model: str = ""
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: dict[str, Any] | None = None
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = False
    temperature: float = 1.0
    text: dict[str, Any] = Field(default_factory=dict)
    tool_choice: Any = "auto"
    tools: list[Any] = Field(default_factory=list)
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: str = "disabled"
    user: str | None = None
    output: list[OutputItem] = Field(default_factory=list)
    usage: ResponsesUsage | None = None


class ResponsesEvent(Response):
    """An event of a stream; what else it has depends on its type."""

    type: str = ""
    sequence_number: int = 0
