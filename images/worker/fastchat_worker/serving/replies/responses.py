"""`response` of `/v1/responses`, whole and in events."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastchat.api import Response, Usage, now
from fastchat.api.responses import (
    ResponseError,
    ResponsesEvent,
    ResponsesRequest,
    ResponsesResponse,
    ResponsesUsage,
)
from fastchat.api.responses.output import InputTokensDetails, OutputTokensDetails
from fastchat.api.responses.tools import HostedTool
from fastchat_worker.errors import RequestError
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.items import Items, Occurrence
from fastchat_worker.serving.replies.logprobs import chat_logprobs
from fastchat_worker.serving.replies.reply import Message, event
from fastchat_worker.serving.resuming.identity import Identity


class ResponsesReply:
    """Writes a response. What it is made of is told step by step, whether streamed or not."""

    def __init__(self, request: ResponsesRequest, identity: Identity) -> None:
        self._shown = _shown(request)
        self._id, self._created = identity.new_id("resp", "_"), identity.created
        reasoning = request.reasoning
        summarised = bool(reasoning and (reasoning.summary or reasoning.generate_summary))
        self._items = Items({tool.name: tool for tool in request.declared}, identity, summarised=summarised)
        self._logprobs = request.wants_logprobs
        self._sequence = 0
        self._finish = ""

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        for update in messages[0].updates:
            list(self._gained(update))
        self._finish = messages[0].finish
        list(self._items.close(complete=self._is_complete))
        return self._ended(usage)

    def opening(self, choices: int) -> Iterable[bytes]:  # noqa: ARG002  # there is one
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._response(status="in_progress"))

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:  # noqa: ARG002  # told at the end
        yield from self._written(self._gained(update))
        if update.finish:
            self._finish = update.finish

    def closing(self, usage: Usage) -> Iterable[bytes]:
        yield from self._written(self._items.close(complete=self._is_complete))
        ended = self._ended(usage)
        yield self._event(f"response.{ended.status}", response=ended)

    def error(self, error: RequestError) -> bytes:
        failed = self._response(
            status="failed", output=self._items.output, error=ResponseError(message=error.error.message)
        )
        return self._event("response.failed", response=failed)

    def _gained(self, update: Update) -> Iterator[Occurrence]:
        """What happens by an update: its log probabilities are told with the first text in it."""
        logged = chat_logprobs(update.logprobs).to_dict()["content"] if self._logprobs and update.logprobs else []
        for delta in update.deltas:
            yield from self._items.feed(delta, logged)
            logged = [] if delta.content else logged

    @property
    def _is_complete(self) -> bool:
        return self._finish != "length"

    def _ended(self, usage: Usage) -> ResponsesResponse:
        why = None if self._is_complete else {"reason": "max_output_tokens"}
        return self._response(
            status="incomplete" if why else "completed",
            completed_at=None if why else now(),
            incomplete_details=why,
            output=self._items.output,
            usage=_usage(usage),
        )

    def _response(self, **fields: Any) -> ResponsesResponse:
        return ResponsesResponse(id=self._id, created_at=self._created, **{**self._shown, **fields})

    def _written(self, occurrences: Iterable[Occurrence]) -> Iterator[bytes]:
        for kind, fields in occurrences:
            yield self._event(kind, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        written = event(ResponsesEvent(type=kind, sequence_number=self._sequence, **fields), kind)
        self._sequence += 1
        return written


def _shown(request: ResponsesRequest) -> dict[str, Any]:
    """What a response repeats of its request, with the defaults of what is not in there."""
    text, reasoning = request.text, request.reasoning
    form = text.format.model_dump(by_alias=True, exclude_unset=True) if text and text.format else {"type": "text"}
    return {
        "error": None,
        "incomplete_details": None,
        "completed_at": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "model": request.model,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "safety_identifier": request.safety_identifier,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": form, "verbosity": (text.verbosity if text else None) or "medium"},
        "tool_choice": _choice(request),
        "tools": [_tool(tool) for tool in request.tools or () if not isinstance(tool, HostedTool)],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        **({"user": request.user} if request.user is not None else {}),
    }


def _choice(request: ResponsesRequest) -> Any:
    choice = request.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump(exclude_unset=True)


def _tool(tool: Any) -> dict[str, Any]:
    shown: dict[str, Any] = tool.model_dump(exclude_unset=True)
    return {"strict": None, "parameters": None, **shown} if shown["type"] == "function" else shown


def _usage(usage: Usage) -> ResponsesUsage:
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thought = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    return ResponsesUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=thought),
        total_tokens=usage.total_tokens,
    )
