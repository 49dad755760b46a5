"""Functions that a model may call: as requests declare them, and calls as both sides write them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Request, Response

MOST_TOOLS = 512
"""OpenAI takes 128; agents with several MCP servers have more."""
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")]


class Function(Request):
    """A function of the caller. `parameters` is a JSON schema; without one it takes none."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = Field(None, description="The arguments keep to the schema, whatever the model would say.")


class Tool(Request):
    """A tool that the model may call; functions are the only kind served."""

    type: Literal["function"] = "function"
    function: Function


class NamedFunction(Request):
    """A function by its name."""

    name: str = Field(min_length=1, max_length=128)


class NamedTool(Request):
    """One of the declared tools."""

    type: Literal["function"] = "function"
    function: NamedFunction


class AllowedTools(Request):
    """Some of the declared tools, and whether one of them must be called."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] = Field(fail_fast=True, min_length=1, max_length=MOST_TOOLS)


class AllowedToolsChoice(Request):
    """`tool_choice` that leaves the declared tools as they are and allows some of them."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | NamedTool | AllowedToolsChoice


class FunctionCall(Request):
    """A call as a request repeats it. `arguments` is a JSON document; some clients send the object itself."""

    name: str = Field(min_length=1, max_length=128)
    arguments: str | dict[str, Any] = "{}"


class ToolCall(Request):
    """A call that an assistant's turn made."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = None


class CalledFunction(Response):
    """A call in a response; in a stream a piece of it, whose `arguments` add up."""

    name: str | None = None
    arguments: str | None = None


class ResponseToolCall(Response):
    """A call that the model made. `index` is there in streams only."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: CalledFunction = Field(default_factory=CalledFunction)


class ToolUse(Request):
    """Which functions a request declares and which of them the model may or must call."""

    tools: list[Tool] | None = Field(None, fail_fast=True, max_length=MOST_TOOLS)
    tool_choice: ToolChoice | None = Field(None, description="Default: auto with tools, none without.")
    parallel_tool_calls: bool | None = Field(None, description="Several calls in one turn. Default true.")
    functions: list[Function] | None = Field(None, fail_fast=True, max_length=128, description="OpenAI's older tools.")
    function_call: Literal["none", "auto"] | NamedFunction | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        declared = [function.name for function in self.declared]
        twice = next((name for at, name in enumerate(declared) if name in declared[:at]), None)
        if twice is not None:
            raise PydanticCustomError("tools", "'{name}' is declared twice", {"name": twice, "param": "tools"})
        if self.must_call and not declared:
            raise PydanticCustomError("tool_choice", "there are no tools to call", {"param": "tool_choice"})
        unknown = next((name for name in self._named if name not in declared), None)
        if unknown is not None:
            raise PydanticCustomError(
                "tool_choice", "'{name}' is not among tools", {"name": unknown, "param": "tool_choice"}
            )
        return self

    @property
    def declared(self) -> list[Function]:
        """All functions, by either name of the field."""
        return [tool.function for tool in self.tools or ()] or list(self.functions or ())

    @property
    def offered(self) -> list[Function]:
        """Functions that the model may call in this turn."""
        if self._choice == "none":
            return []
        return [function for function in self.declared if not self._named or function.name in self._named]

    @property
    def must_call(self) -> bool:
        """The turn has to be a call of one of `offered`."""
        choice = self._choice
        if isinstance(choice, AllowedToolsChoice):
            return choice.allowed_tools.mode == "required"
        return choice == "required" or isinstance(choice, NamedTool | NamedFunction)

    @property
    def names_one(self) -> bool:
        """One function is named, which is to be called once."""
        return isinstance(self._choice, NamedTool | NamedFunction)

    @property
    def _choice(self) -> object:
        return self.tool_choice or self.function_call or ("auto" if self.declared else "none")

    @property
    def _named(self) -> list[str]:
        choice = self._choice
        if isinstance(choice, NamedTool):
            return [choice.function.name]
        if isinstance(choice, NamedFunction):
            return [choice.name]
        if isinstance(choice, AllowedToolsChoice):
            return [tool.function.name for tool in choice.allowed_tools.tools]
        return []
