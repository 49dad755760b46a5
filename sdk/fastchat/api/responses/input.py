"""Items of a request's `input`: messages, calls of tools and what these said, reasoning."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.chat import Part
from fastchat.api.common import Request

_KINDS: list[Any] = [
    "message",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "custom_tool_call_output",
    "reasoning",
]


class InputPart(Part):
    """A part of a message. What an earlier response had in it beside its text changes nothing."""

    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


InputContent = str | Annotated[list[InputPart], Field(fail_fast=True, max_length=4096)]


def text_of(content: InputContent) -> str:
    """The text of all parts."""
    if isinstance(content, str):
        return content
    return "".join(part.text if part.text is not None else part.refusal or "" for part in content)


class InputMessage(Request):
    """A turn, in its long form or its short one, which has no `type`."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: InputContent
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class CallItem(Request):
    """What calls of functions and of custom tools share. `namespace`: where the tool was declared in one."""

    call_id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=128)
    namespace: str | None = Field(None, max_length=128)
    id: str | None = None
    status: str | None = None
    caller: dict[str, Any] | None = None


class FunctionCallItem(CallItem):
    """A call that the model made in an earlier turn. `arguments` is a JSON document."""

    type: Literal["function_call"]
    arguments: str = "{}"


class CustomCallItem(CallItem):
    """A call of a custom tool, which takes a text."""

    type: Literal["custom_tool_call"]
    input: str


class CallOutputItem(Request):
    """What a call came to."""

    call_id: str = Field(min_length=1, max_length=256)
    output: InputContent
    name: str | None = None
    namespace: str | None = None
    id: str | None = None
    status: str | None = None
    caller: dict[str, Any] | None = None
    created_by: str | None = None


class FunctionOutputItem(CallOutputItem):
    """Of a function."""

    type: Literal["function_call_output"]


class CustomOutputItem(CallOutputItem):
    """Of a custom tool."""

    type: Literal["custom_tool_call_output"]


class ReasoningPart(Request):
    """A piece of reasoning or of its summary."""

    type: Literal["summary_text", "reasoning_text", "text"]
    text: str


class ReasoningItem(Request):
    """What the model thought before what follows. What is encrypted is another server's."""

    type: Literal["reasoning"]
    summary: list[ReasoningPart] = Field(default_factory=list, fail_fast=True, max_length=4096)
    content: list[ReasoningPart] | None = Field(None, fail_fast=True, max_length=4096)
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None

    @property
    def text(self) -> str:
        """The reasoning itself where it is there, else its summary."""
        return "".join(part.text for part in self.content or self.summary)


class LeftOutItem(Request):
    """An item of a tool that another server hosts: it is left out. A reference to an item is refused."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(min_length=1, max_length=64, json_schema_extra={"not": {"enum": _KINDS}})

    @model_validator(mode="after")
    def _is_no_reference(self) -> Self:
        if self.type == "item_reference":
            reason = "this server keeps no responses, so an item cannot be referred to: send the item itself"
            raise PydanticCustomError("unsupported_parameter", reason)
        return self


def _tag(item: Any) -> str:
    kind = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", "message")
    return f"<{kind}>" if f"<{kind}>" in _TAGS else "<other>"


_TAGS = frozenset(f"<{kind}>" for kind in _KINDS)
"""In brackets, so that the name of a wrong field (`input[0].role`) does not have them in it."""

InputItem = Annotated[
    Annotated[InputMessage, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[CustomCallItem, Tag("<custom_tool_call>")]
    | Annotated[FunctionOutputItem, Tag("<function_call_output>")]
    | Annotated[CustomOutputItem, Tag("<custom_tool_call_output>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")]
    | Annotated[LeftOutItem, Tag("<other>")],
    Discriminator(_tag),
]
