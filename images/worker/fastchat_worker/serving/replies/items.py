"""The output items of a response while they grow, and what is told of it: one item is open at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pydantic_core

from fastchat.api.responses import (
    CustomCall,
    DeclaredTool,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningOutput,
    ReasoningText,
    ResponseFunctionCall,
    SummaryText,
)
from fastchat.api.responses.tools import CustomTool
from fastchat_worker.output.parser import CallDelta, Delta
from fastchat_worker.serving.resuming.identity import Identity

Occurrence = tuple[str, dict[str, Any]]
"""Type of an event, and its fields but for the sequence number."""


class Items:
    """Makes items of deltas. tools: those declared, by the names that the model knows them by.

    summarised: reasoning is told as the text of a summary.
    """

    def __init__(self, tools: Mapping[str, DeclaredTool], identity: Identity, *, summarised: bool) -> None:
        self._tools, self._identity = tools, identity
        self._summarised = summarised
        self._open: _Open | None = None
        self.output: list[OutputItem] = []
        """Every item so far."""

    def feed(self, delta: Delta, logprobs: Sequence[Any] = ()) -> Iterator[Occurrence]:
        """What happens now that the output has gained this. logprobs: of the tokens of its text, as they are told."""
        if delta.reasoning:
            kind = _Summary if self._summarised else _Reasoning
            yield from self._grow(kind, delta.reasoning)
        if delta.content:
            yield from self._grow(_Text, delta.content, logprobs)
        for call in delta.calls:
            yield from self._call(call)

    def close(self, *, complete: bool) -> Iterator[Occurrence]:
        """What happens when nothing follows. `complete`: the model came to an end. There is always an item."""
        if not self.output:
            yield from self._begin(_Text(self._identity))
        yield from self._end("completed" if complete else "incomplete")

    def _grow(
        self, kind: "type[_Text | _Reasoning | _Summary]", text: str, logprobs: Sequence[Any] = ()
    ) -> Iterator[Occurrence]:
        if not isinstance(self._open, kind):
            yield from self._end("completed")
            yield from self._begin(kind(self._identity))
        yield from self._told(text, logprobs)

    def _call(self, call: CallDelta) -> Iterator[Occurrence]:
        if call.name is not None:
            yield from self._end("completed")
            tool = self._tools.get(call.name)
            if tool and isinstance(tool.tool, CustomTool):
                yield from self._begin(_Custom(tool, self._identity))
            else:
                yield from self._begin(_Call(call, tool, self._identity))
        if call.arguments:
            yield from self._told(call.arguments)

    def _told(self, text: str, logprobs: Sequence[Any] = ()) -> Iterator[Occurrence]:
        assert self._open is not None  # noqa: S101  # it has just begun, or a call's name came before
        return self._placed(self._open.grow(text, logprobs))

    def _begin(self, item: "_Open") -> Iterator[Occurrence]:
        self._open = item
        self.output.append(item.item)
        yield "response.output_item.added", {"output_index": len(self.output) - 1, "item": item.item}
        yield from self._placed(item.begin())

    def _end(self, status: str) -> Iterator[Occurrence]:
        open_item, self._open = self._open, None
        if open_item is None:
            return
        yield from self._placed(open_item.end(), open_item)
        open_item.item.status = status
        yield "response.output_item.done", {"output_index": len(self.output) - 1, "item": open_item.item}

    def _placed(self, occurrences: Iterator[Occurrence], of: "_Open | None" = None) -> Iterator[Occurrence]:
        """With where in the output it happens."""
        place = {"item_id": (of or self._open).item.id, "output_index": len(self.output) - 1}  # type: ignore[union-attr]
        for kind, fields in occurrences:
            yield kind, {**place, **fields}


class _Open(Protocol):
    """An item that grows."""

    item: Any

    def begin(self) -> Iterator[Occurrence]:
        """After the item was added."""

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:
        """It gains a piece."""

    def end(self) -> Iterator[Occurrence]:
        """Before the item is done: it has what it was told in pieces."""


class _Text:
    """A message of one text."""

    def __init__(self, identity: Identity) -> None:
        self.item = OutputMessage(id=identity.new_id("msg", "_"))
        self._pieces: list[str] = []
        self._logprobs: list[Any] = []

    def begin(self) -> Iterator[Occurrence]:
        yield "response.content_part.added", {"content_index": 0, "part": OutputText()}

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:
        self._pieces.append(text)
        self._logprobs += logprobs
        yield "response.output_text.delta", {"content_index": 0, "delta": text, "logprobs": logprobs}

    def end(self) -> Iterator[Occurrence]:
        part = OutputText(text="".join(self._pieces), logprobs=self._logprobs)
        yield "response.output_text.done", {"content_index": 0, "text": part.text, "logprobs": part.logprobs}
        yield "response.content_part.done", {"content_index": 0, "part": part}
        self.item.content = [part]


class _Reasoning:
    """Reasoning in its own words."""

    def __init__(self, identity: Identity) -> None:
        self.item = ReasoningOutput(id=identity.new_id("rs", "_"), encrypted_content=None)
        self._pieces: list[str] = []

    def begin(self) -> Iterator[Occurrence]:
        yield "response.content_part.added", {"content_index": 0, "part": ReasoningText()}

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:  # noqa: ARG002  # texts have them
        self._pieces.append(text)
        yield "response.reasoning_text.delta", {"content_index": 0, "delta": text}

    def end(self) -> Iterator[Occurrence]:
        part = ReasoningText(text="".join(self._pieces))
        yield "response.reasoning_text.done", {"content_index": 0, "text": part.text}
        yield "response.content_part.done", {"content_index": 0, "part": part}
        self.item.content = [part]


class _Summary:
    """Reasoning where clients look for a summary."""

    def __init__(self, identity: Identity) -> None:
        self.item = ReasoningOutput(id=identity.new_id("rs", "_"), encrypted_content=None)
        self._pieces: list[str] = []

    def begin(self) -> Iterator[Occurrence]:
        yield "response.reasoning_summary_part.added", {"summary_index": 0, "part": SummaryText()}

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:  # noqa: ARG002  # texts have them
        self._pieces.append(text)
        yield "response.reasoning_summary_text.delta", {"summary_index": 0, "delta": text}

    def end(self) -> Iterator[Occurrence]:
        part = SummaryText(text="".join(self._pieces))
        yield "response.reasoning_summary_text.done", {"summary_index": 0, "text": part.text}
        yield "response.reasoning_summary_part.done", {"summary_index": 0, "part": part}
        self.item.summary = [part]


class _Call:
    """A call of a function, under the name that the caller declared it by."""

    def __init__(self, call: CallDelta, tool: DeclaredTool | None, identity: Identity) -> None:
        name = tool.tool.name if tool else call.name or ""
        space = {"namespace": tool.namespace} if tool and tool.namespace else {}
        ids = {"id": identity.new_id("fc", "_"), "call_id": identity.new_id("call", "_")}
        self.item = ResponseFunctionCall(**ids, name=name, **space)
        self._pieces: list[str] = []

    def begin(self) -> Iterator[Occurrence]:
        yield from ()

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:  # noqa: ARG002  # texts have them
        self._pieces.append(text)
        yield "response.function_call_arguments.delta", {"delta": text}

    def end(self) -> Iterator[Occurrence]:
        self.item.arguments = "".join(self._pieces)
        yield "response.function_call_arguments.done", {"name": self.item.name, "arguments": self.item.arguments}


class _Custom:
    """A call of a custom tool: its text is told once all of it is there, for it comes as a string of JSON."""

    def __init__(self, tool: DeclaredTool, identity: Identity) -> None:
        space = {"namespace": tool.namespace} if tool.namespace else {}
        ids = {"id": identity.new_id("ctc", "_"), "call_id": identity.new_id("call", "_")}
        self.item = CustomCall(**ids, name=tool.tool.name, **space)
        self._pieces: list[str] = []

    def begin(self) -> Iterator[Occurrence]:
        yield from ()

    def grow(self, text: str, logprobs: Sequence[Any]) -> Iterator[Occurrence]:  # noqa: ARG002  # texts have them
        self._pieces.append(text)
        yield from ()

    def end(self) -> Iterator[Occurrence]:
        text = self.item.input = _input_of("".join(self._pieces))
        if text:
            yield "response.custom_tool_call_input.delta", {"delta": text}
        yield "response.custom_tool_call_input.done", {"input": text}


def _input_of(arguments: str) -> str:
    """The text that a custom tool is called with; of arguments that are something else, themselves."""
    try:
        text = pydantic_core.from_json(arguments, allow_partial="trailing-strings")["input"]
    except (ValueError, KeyError, TypeError):
        return arguments
    return text if isinstance(text, str) else arguments
