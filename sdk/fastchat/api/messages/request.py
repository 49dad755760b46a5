"""The requests of `POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Name, Refused, Request, StopText
from fastchat.api.formats import Schema
from fastchat.api.messages.input import MessagesTurn, SkippedBlock, TextBlock, ToolResultBlock
from fastchat.api.tools import MOST_TOOLS, FunctionName


class MessagesTool(Request):
    """A tool of the caller. `input_schema` is a JSON schema."""

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None
    input_examples: list[Any] | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    allowed_callers: list[str] | None = None


class ServerTool(Request):
    """A tool that Anthropic runs or defines; it is left out."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(min_length=1, max_length=64, json_schema_extra={"not": {"const": "custom"}})
    name: str = ""


def _tag(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "<custom>" if kind in (None, "custom") else "<server>"


AnyTool = Annotated[
    Annotated[MessagesTool, Tag("<custom>")] | Annotated[ServerTool, Tag("<server>")], Discriminator(_tag)
]


class MessagesToolChoice(Request):
    """Whether tools are called. `name`: of the one that must be, with the type `tool`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, min_length=1, max_length=128)
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _names_its_tool(self) -> Self:
        if self.type == "tool" and self.name is None:
            raise PydanticCustomError("tool_choice", "a tool_choice of type 'tool' needs the tool's 'name'")
        return self


class Thinking(Request):
    """Whether the model thinks before it speaks, where its template can say so. The budget changes nothing."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(None, ge=1, lt=2**31)
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Request):
    """The form of the text."""

    type: Literal["json_schema"]
    schema_: Schema = Field(alias="schema")


class OutputConfig(Request):
    """How much is thought, and the form of the text."""

    effort: str | None = Field(None, max_length=32)
    format: OutputFormat | None = None


class Conversation(Request):
    """What the prompt is made of."""

    model: Name
    messages: list[MessagesTurn] = Field(fail_fast=True, min_length=1, max_length=16_384)
    system: str | Annotated[list[TextBlock], Field(fail_fast=True, max_length=1024)] | None = None
    tools: list[AnyTool] | None = Field(None, fail_fast=True, max_length=MOST_TOOLS)
    tool_choice: MessagesToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    # Change nothing in the response.
    cache_control: dict[str, Any] | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None

    @property
    def own_tools(self) -> list[MessagesTool]:
        """Those of the caller."""
        return [tool for tool in self.tools or () if isinstance(tool, MessagesTool)]

    @property
    def form(self) -> OutputFormat | None:
        """That of the text, by either name of the field."""
        return (self.output_config.format if self.output_config else None) or self.output_format

    @property
    def unknown_fields(self) -> list[str]:
        """Also what is left out: tools of Anthropic's, and blocks that these made (`tools.web_search_20250305`)."""
        tools = [f"tools.{tool.type}" for tool in self.tools or () if isinstance(tool, ServerTool)]
        blocks = [f"messages.{block.type}" for turn in self.messages for block in _skipped(turn.content)]
        return list(dict.fromkeys([*super().unknown_fields, *tools, *blocks]))


class CountTokensRequest(Conversation):
    """`POST /v1/messages/count_tokens`."""


class MessagesRequest(Conversation):
    """`POST /v1/messages`."""

    max_tokens: int = Field(ge=1, lt=2**31, description="Longest answer, in tokens; at most up to the context's end.")
    stop_sequences: list[StopText] | None = Field(None, fail_fast=True, max_length=16)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, lt=2**31)
    stream: bool | None = None
    # Change nothing in the response.
    metadata: dict[str, Any] | None = Field(None, max_length=64)
    service_tier: str | None = None
    inference_geo: str | None = None
    diagnostics: dict[str, Any] | None = None
    # Would change it.
    container: Annotated[None, Refused()] = None
    mcp_servers: Annotated[None, Refused(([],))] = None


def _skipped(content: Any) -> list[SkippedBlock]:
    if not isinstance(content, list):
        return []
    inner = [each for block in content if isinstance(block, ToolResultBlock) for each in _skipped(block.content)]
    return [block for block in content if isinstance(block, SkippedBlock)] + inner
