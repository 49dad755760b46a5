"""Turns of a request and their blocks."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from fastchat.api.common import Request

_MOST_BLOCKS = 4096
_KINDS: list[Any] = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result"]


class Block(Request):
    """What every block may have and what changes nothing here: nothing is cached by request."""

    cache_control: dict[str, Any] | None = None


class TextBlock(Block):
    """Text."""

    type: Literal["text"]
    text: str
    citations: list[Any] | dict[str, Any] | None = None


class ThinkingBlock(Block):
    """What the model thought in an earlier turn. The signature is taken as it is."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(Block):
    """Thoughts that only another server can read; they are left out."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(Block):
    """A call that the model made in an earlier turn."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=128)
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


class SkippedBlock(Request):
    """A block of a tool that another server hosts: it is left out. Pictures and documents are refused."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(min_length=1, max_length=64, json_schema_extra={"not": {"enum": _KINDS}})

    @model_validator(mode="after")
    def _is_hosted(self) -> Self:
        kind = self.type
        if not (kind.startswith(("server_", "mcp_")) or kind.endswith("_tool_result") or kind in _NOTES):
            reason = "blocks of type '{type}' are not served here: send text"
            raise PydanticCustomError("unsupported_parameter", reason, {"type": kind})
        return self


_NOTES = ("compaction", "fallback", "tool_reference")


def _tag(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return f"<{kind}>" if f"<{kind}>" in _TAGS else "<other>"


_TAGS = frozenset(f"<{kind}>" for kind in _KINDS)
"""In brackets, so that the name of a wrong field (`messages[0].content[1].text`) does not have them in it."""

ResultBlock = Annotated[
    Annotated[TextBlock, Tag("<text>")] | Annotated[SkippedBlock, Tag("<other>")],
    Discriminator(lambda block: "<text>" if _tag(block) == "<text>" else "<other>"),
]


class ToolResultBlock(Block):
    """What a call came to."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=256)
    content: str | Annotated[list[ResultBlock], Field(fail_fast=True, max_length=_MOST_BLOCKS)] | None = None
    is_error: bool | None = None

    @property
    def text(self) -> str:
        """Its content as one text, marked where it is an error: chat templates know no such field."""
        text = text_of(self.content or "")
        return f"Error: {text}" if self.is_error else text


AnyBlock = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[RedactedThinkingBlock, Tag("<redacted_thinking>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")]
    | Annotated[SkippedBlock, Tag("<other>")],
    Discriminator(_tag),
]


class MessagesTurn(Request):
    """One turn of a conversation. A system turn may stand between others."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[AnyBlock], Field(fail_fast=True, max_length=_MOST_BLOCKS)]

    @property
    def blocks(self) -> list[Any]:
        """Its content as blocks."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content


def text_of(content: str | list[Any]) -> str:
    """The text of all blocks that have any."""
    if isinstance(content, str):
        return content
    return "".join(block.text for block in content if isinstance(block, TextBlock))
