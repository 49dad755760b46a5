"""Responses of `/v1/messages`, and the events of their streams."""

from typing import Any

from pydantic import Field

from fastchat.api.common import Response


class TextContent(Response):
    """What the model says."""

    type: str = "text"
    text: str = ""


class ThinkingContent(Response):
    """What the model thinks. The signature means nothing; it is there because clients send it back."""

    type: str = "thinking"
    thinking: str = ""
    signature: str = ""


class ToolUseContent(Response):
    """A call of a tool."""

    type: str = "tool_use"
    id: str = ""
    name: str = ""
    input: dict[str, Any] = Field(default_factory=dict)


ContentBlock = TextContent | ThinkingContent | ToolUseContent


class MessagesUsage(Response):
    """Tokens of one request. What was read from the cache is not among `input_tokens`."""

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


class MessagesResponse(Response):
    """Response of `POST /v1/messages`."""

    id: str = ""
    type: str = "message"
    role: str = "assistant"
    model: str = ""
    content: list[ContentBlock] = Field(default_factory=list)
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: MessagesUsage = Field(default_factory=MessagesUsage)


class MessagesEvent(Response):
    """An event of a stream; what else it has depends on its type."""

    type: str = ""


class TokenCount(Response):
    """Response of `POST /v1/messages/count_tokens`."""

    input_tokens: int = 0
