"""Log probabilities of tokens, in the shapes of chat and of completions."""

from pydantic import Field

from fastchat.api.common import Response


class TopLogprob(Response):
    """A token that could have stood there. `bytes` are its UTF-8; a token may be a piece of a character."""

    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A token that stands there, and the likeliest ones in its place."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list)


class ChatLogprobs(Response):
    """Of a chat's choice, or of a piece of one in a stream."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class CompletionLogprobs(Response):
    """Of a completion's choice. `text_offset`: where each token begins, in characters of its text."""

    tokens: list[str] = Field(default_factory=list)
    token_logprobs: list[float | None] = Field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] = Field(default_factory=list)
