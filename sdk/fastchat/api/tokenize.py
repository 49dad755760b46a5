"""`/tokenize` and `/detokenize`, in vLLM's shape."""

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.chat import ChatCompletionRequest, Message
from fastchat.api.common import Name, Request, Response
from fastchat.api.tools import ToolUse

_OF_TEMPLATE = ("chat_template_kwargs", "add_generation_prompt", "continue_final_message")


class TokenizeRequest(ToolUse):
    """`POST /tokenize`: which tokens does a model make of a text, or of a conversation?"""

    model: Name
    prompt: str | None = None
    messages: Annotated[list[Message], Field(fail_fast=True, min_length=1, max_length=4096)] | None = None
    add_special_tokens: bool | None = Field(
        None, description="Put before and after a prompt what the model wants there. Default true; not for messages."
    )
    return_token_strs: bool | None = Field(None, description="Say the tokens as texts too.")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, max_length=64, description="Of messages: variables of the model's chat template."
    )
    add_generation_prompt: bool | None = Field(
        None, description="Of messages: open the assistant's turn. Default true."
    )
    continue_final_message: bool | None = Field(
        None, description="Of messages: continue the last one instead of a new turn."
    )

    @model_validator(mode="after")
    def _of_one_kind(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("tokenize", "give 'prompt' or 'messages', and not both")
        return self

    @property
    def chat(self) -> ChatCompletionRequest:
        """The chat whose prompt is asked for."""
        fields = ("model", "messages", *ToolUse.model_fields, *_OF_TEMPLATE)
        return ChatCompletionRequest.model_construct(**{name: getattr(self, name) for name in fields})


class TokenizeResponse(Response):
    """Response of `POST /tokenize`."""

    count: int = 0
    max_model_len: int = 0
    tokens: list[int] = Field(default_factory=list)
    token_strs: list[str] | None = None

    def model_post_init(self, context: Any, /) -> None:
        """vLLM sends `token_strs` always, as null where nobody asked for it."""
        super().model_post_init(context)
        self.__pydantic_fields_set__.add("token_strs")


class DetokenizeRequest(Request):
    """`POST /detokenize`: the text of tokens."""

    model: Name
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(fail_fast=True, max_length=2**18)


class DetokenizeResponse(Response):
    """Response of `POST /detokenize`."""

    prompt: str = ""
