"""The request of `POST /v1/responses`."""

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Name, Refused, Request
from fastchat.api.formats import JsonObjectFormat, Schema, TextFormat
from fastchat.api.responses.input import InputItem, LeftOutItem
from fastchat.api.responses.tools import (
    AllowedChoice,
    DeclaredTool,
    NamedChoice,
    ResponsesToolChoice,
    Tools,
    declared,
    hosted,
)


class FlatJsonSchema(Request):
    """A JSON document that the schema takes; chat has the same one level deeper."""

    type: Literal["json_schema"]
    name: str = Field("response", min_length=1, max_length=64)
    schema_: Schema = Field(True, alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(Request):
    """The form of the text. `verbosity` changes nothing."""

    format: Annotated[TextFormat | JsonObjectFormat | FlatJsonSchema, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Request):
    """How much is thought, and where the client wants to read it.

    summary: any value has the reasoning told as a summary's text, where clients look first.
    """

    effort: str | None = Field(None, max_length=32)
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: str | None = None
    mode: str | None = None


class ResponsesStreamOptions(Request):
    """Nothing is obfuscated."""

    include_obfuscation: Annotated[None, Refused((False,))] = None


class ResponsesRequest(Request):
    """`POST /v1/responses`. Nothing is stored, whatever `store` says: all input comes with each request."""

    model: Name
    input: str | Annotated[list[InputItem], Field(fail_fast=True, max_length=16_384)]
    instructions: str | None = None
    tools: Tools | None = None
    tool_choice: ResponsesToolChoice | None = Field(None, description="Default: auto.")
    parallel_tool_calls: bool | None = Field(None, description="Default true.")
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(None, ge=1, lt=2**31)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: list[str] | None = Field(None, fail_fast=True, max_length=32)
    stream: bool | None = None
    stream_options: ResponsesStreamOptions | None = None
    metadata: dict[str, Any] | None = Field(None, max_length=64)
    user: str | None = None
    # Change nothing in the response.
    store: bool | None = None
    truncation: Literal["auto", "disabled"] | None = Field(None, description="What does not fit is refused.")
    max_tool_calls: int | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    client_metadata: dict[str, Any] | None = None
    # Would change it; what to do instead is said.
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    prompt: Annotated[None, Refused()] = None
    moderation: Annotated[None, Refused()] = None

    @model_validator(mode="after")
    def _keeps_nothing(self) -> Self:
        kept = {"previous_response_id": self.previous_response_id, "conversation": self.conversation}
        for name, value in kept.items():
            if value is not None:
                reason = "this server keeps no responses: send the whole conversation as 'input' and leave it out"
                raise PydanticCustomError("unsupported_parameter", reason, {"param": name})
        if self.background:
            reason = "this server keeps no responses to be fetched later: leave 'background' out, or stream"
            raise PydanticCustomError("unsupported_parameter", reason, {"param": "background"})
        return self

    @model_validator(mode="after")
    def _chooses_what_is_there(self) -> Self:
        choice = self.tool_choice
        if isinstance(choice, NamedChoice) and not self.chosen:
            what = f"'{choice.name}'" if choice.name else f"a tool of type '{choice.type}'"
            reason = "{what} is not among the tools that this server can have called"
            raise PydanticCustomError("tool_choice", reason, {"what": what, "param": "tool_choice"})
        return self

    @cached_property
    def declared(self) -> list[DeclaredTool]:
        """The tools that the model may call, namespaces expanded."""
        return list(declared(self.tools or ()))

    @property
    def chosen(self) -> list[DeclaredTool]:
        """Those that `tool_choice` names; empty where it names none."""
        choice = self.tool_choice
        named = (
            choice.tools if isinstance(choice, AllowedChoice) else [choice] if isinstance(choice, NamedChoice) else []
        )
        return [tool for tool in self.declared if any(tool.is_named(each) for each in named)]

    @property
    def wants_logprobs(self) -> bool:
        """By either of the two ways to ask for them."""
        return bool(self.top_logprobs) or "message.output_text.logprobs" in (self.include or ())

    @property
    def unknown_fields(self) -> list[str]:
        """Also what is left out: hosted tools, and items that these made (`tools.web_search`)."""
        items = self.input if isinstance(self.input, list) else ()
        left_out = [f"input.{item.type}" for item in items if isinstance(item, LeftOutItem)]
        names = [*super().unknown_fields, *(f"tools.{kind}" for kind in hosted(self.tools or ())), *left_out]
        return list(dict.fromkeys(names))
