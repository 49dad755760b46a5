"""Tools of the Responses API: functions, custom tools that take a text, namespaces of both, and hosted ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from fastchat.api.common import Request
from fastchat.api.tools import MOST_TOOLS, Function, FunctionName

_LONGEST_NAME = 128


class ResponsesFunction(Request):
    """A function of the caller; chat has the same one level deeper."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    output_schema: dict[str, Any] | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


class CustomFormat(Request):
    """The form of a custom tool's input: any text, or what a grammar takes."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = Field(None, max_length=65_536)


class CustomTool(Request):
    """A tool that takes a text. The model is shown its grammar, and not held to it."""

    type: Literal["custom"]
    name: FunctionName
    description: str | None = None
    format: CustomFormat | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


class HostedTool(Request):
    """A tool that OpenAI runs; it is left out."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(
        min_length=1, max_length=64, json_schema_extra={"not": {"enum": ["function", "custom", "namespace"]}}
    )


def _tag(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return f"<{kind}>" if kind in ("function", "custom", "namespace") else "<hosted>"


OwnTool = Annotated[
    Annotated[ResponsesFunction, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[HostedTool, Tag("<hosted>")],
    Discriminator(_tag),
]


class NamespaceTool(Request):
    """Tools under one name, such as those of an MCP server."""

    type: Literal["namespace"]
    name: FunctionName
    description: str | None = None
    tools: list[OwnTool] = Field(fail_fast=True, max_length=MOST_TOOLS)


ResponsesTool = Annotated[
    Annotated[ResponsesFunction, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[NamespaceTool, Tag("<namespace>")]
    | Annotated[HostedTool, Tag("<hosted>")],
    Discriminator(_tag),
]
Tools = Annotated[list[ResponsesTool], Field(fail_fast=True, max_length=MOST_TOOLS)]


class NamedChoice(Request):
    """One of the tools, by its name; in `allowed_tools` also a namespace, or a hosted tool without a name."""

    type: str = Field(max_length=64)
    name: str | None = Field(None, min_length=1, max_length=_LONGEST_NAME)
    namespace: str | None = Field(None, max_length=_LONGEST_NAME)


class AllowedChoice(Request):
    """Some of the tools, and whether one of them must be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedChoice] = Field(fail_fast=True, min_length=1, max_length=MOST_TOOLS)


ResponsesToolChoice = Literal["none", "auto", "required"] | AllowedChoice | NamedChoice


@dataclass(frozen=True)
class DeclaredTool:
    """A tool as the model is to see it: a function under one flat name."""

    tool: ResponsesFunction | CustomTool
    namespace: str | None = None

    @property
    def name(self) -> str:
        """What the model calls it: `server__tool` for one of a namespace."""
        return flat_name(self.tool.name, self.namespace)

    @property
    def function(self) -> Function:
        """As chat declares it; a custom tool takes an object with the text as `input`."""
        tool = self.tool
        if isinstance(tool, ResponsesFunction):
            return Function(
                name=self.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
            )
        return Function(name=self.name, description=_described(tool), parameters=_TAKES_TEXT)

    def is_named(self, choice: NamedChoice) -> bool:
        """Whether `tool_choice` means it: by its own name, by its flat one, or by its namespace."""
        if choice.type == "namespace":
            return self.namespace == choice.name
        if choice.name == self.name:
            return True
        return choice.name == self.tool.name and choice.namespace in (None, self.namespace)


_TAKES_TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def flat_name(name: str, namespace: str | None) -> str:
    """One name of both."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


def declared(tools: Sequence[Any]) -> Iterator[DeclaredTool]:
    """Those that the model may call, namespaces expanded, hosted ones left out."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            for inner in tool.tools:
                if not isinstance(inner, HostedTool):
                    yield DeclaredTool(inner, tool.name)
        elif not isinstance(tool, HostedTool):
            yield DeclaredTool(tool)


def hosted(tools: Sequence[Any]) -> Iterator[str]:
    """Types of those that are left out."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            yield from hosted(tool.tools)
        elif isinstance(tool, HostedTool):
            yield tool.type


def _described(tool: CustomTool) -> str | None:
    grammar = tool.format
    if grammar is None or grammar.type == "text" or not grammar.definition:
        return tool.description
    shown = f"The input follows this grammar ({grammar.syntax or 'lark'}):\n{grammar.definition}"
    return f"{tool.description}\n{shown}" if tool.description else shown
