"""`/v1/chat/completions`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fastchat.api.common import Refused, Request, Response, Sampling, Usage


class TextPart(Request):
    """One part of a message; text is the only kind served."""

    type: Literal["text"]
    text: str


class Message(Request):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True, min_length=1)]
    name: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[None, Refused(([],))] = None
    function_call: Annotated[None, Refused()] = None
    audio: Annotated[None, Refused()] = None
    annotations: Annotated[None, Refused(([],))] = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatCompletionRequest(Sampling):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(fail_fast=True, min_length=1, max_length=4096)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31, description="OpenAI's newer name of max_tokens.")
    # Change nothing in the completion.
    store: bool | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prediction: dict[str, Any] | None = None
    # Would change the completion.
    tools: Annotated[None, Refused(([],))] = None
    tool_choice: Annotated[None, Refused(("none", "auto"))] = None
    functions: Annotated[None, Refused(([],))] = None
    function_call: Annotated[None, Refused(("none", "auto"))] = None
    response_format: Annotated[None, Refused(({"type": "text"},))] = None
    logprobs: Annotated[None, Refused((False,))] = None
    top_logprobs: Annotated[None, Refused((0,))] = None
    modalities: Annotated[None, Refused((["text"],))] = None
    audio: Annotated[None, Refused()] = None
    reasoning_effort: Annotated[None, Refused(("none",))] = None
    verbosity: Annotated[None, Refused(("medium",))] = None
    web_search_options: Annotated[None, Refused()] = None

    @property
    def limit(self) -> int | None:
        """Longest completion in tokens, by either name; None: up to the end of the context."""
        return self.max_completion_tokens or self.max_tokens


class ChatMessage(Response):
    """The model's turn."""

    role: str | None = None
    content: str | None = None


class ChatChoice(Response):
    """One of `n` completions."""

    index: int = 0
    message: ChatMessage = Field(default_factory=ChatMessage)
    finish_reason: str | None = None


class ChatCompletion(Response):
    """Response of `POST /v1/chat/completions`."""

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[ChatChoice] = Field(default_factory=list)
    usage: Usage | None = None


class ChatChunkChoice(Response):
    """What one completion gained."""

    index: int = 0
    delta: ChatMessage = Field(default_factory=ChatMessage)
    finish_reason: str | None = None


class ChatCompletionChunk(Response):
    """One event of a chat stream."""

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChatChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None
