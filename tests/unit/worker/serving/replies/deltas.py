"""Outputs of a model cut into deltas at random, for tests of what is written of them."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from fastchat.api import CompletionTokensDetails, PromptTokensDetails, Usage
from fastchat_worker.output.parser import CallDelta, Delta, joined
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.reply import Message, Reply

Segment = tuple[str, str, str]
"""Kind (reasoning, content, call), text or arguments, and the name of a call."""

USAGE = Usage(
    prompt_tokens=9,
    completion_tokens=5,
    total_tokens=14,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=2),
)


def outputs(names: Sequence[str]) -> st.SearchStrategy[list[Segment]]:
    """What a model may say, think and call in a row; arguments are JSON objects with the text `input`."""
    arguments = st.builds(lambda text, more: json.dumps({"input": text, **more}), st.text(), _MORE)
    spoken = st.tuples(st.sampled_from(["reasoning", "content"]), st.text(min_size=1), st.just(""))
    called = st.tuples(st.just("call"), arguments, st.sampled_from(names))
    return st.lists(spoken | called, max_size=6)


_MORE = st.dictionaries(st.text(max_size=3).filter(lambda name: name != "input"), st.integers(), max_size=2)


@st.composite
def cut(draw: Any, segments: Sequence[Segment]) -> list[Delta]:
    """The output in deltas: every text in pieces, and pieces that follow each other in one delta or several."""
    pieces: list[Delta] = []
    calls = -1
    for kind, text, name in segments:
        calls += kind == "call"
        parts = draw(_pieces(text))
        if kind == "call":
            pieces.append(Delta(calls=(CallDelta(calls, name, parts.pop(0) if draw(st.booleans()) else ""),)))
            pieces += [Delta(calls=(CallDelta(calls, None, part),)) for part in parts]
        else:
            pieces += [Delta(**{kind: part}) for part in parts if part]
    return _merged(draw, pieces)


@st.composite
def _pieces(draw: Any, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def _merged(draw: Any, pieces: Sequence[Delta]) -> list[Delta]:
    merged: list[Delta] = []
    for piece in pieces:
        if merged and _may_join(merged[-1], piece) and draw(st.booleans()):
            last = merged.pop()
            merged.append(
                Delta(last.content + piece.content, last.reasoning + piece.reasoning, (*last.calls, *piece.calls))
            )
        else:
            merged.append(piece)
    return merged


def _may_join(last: Delta, piece: Delta) -> bool:
    """Within a delta reasoning comes first, then content, then calls."""
    if piece.reasoning:
        return not last.content and not last.calls
    return bool(piece.calls) or not last.calls


def stream(reply: Reply, deltas: Sequence[Delta], finish: str, stop_text: str | None = None) -> list[dict[str, Any]]:
    """The events of a stream, each with its name under `event`."""
    raw = [*reply.opening(1)]
    for delta in deltas:
        raw += reply.update(Update(0, [delta], None), lambda: USAGE)
    raw += reply.update(Update(0, [], finish, stop_text=stop_text), lambda: USAGE)
    raw += reply.closing(USAGE)
    return [parsed(each) for each in raw]


def parsed(event: bytes) -> dict[str, Any]:
    """One event's document. Its name is its type."""
    name, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    document: dict[str, Any] = json.loads(data.removeprefix("data: "))
    assert name == f"event: {document['type']}"
    return document


def whole(reply: Reply, deltas: Sequence[Delta], finish: str, stop_text: str | None = None) -> dict[str, Any]:
    """The whole response."""
    message = Message(joined(deltas), finish, updates=[Update(0, deltas, finish)], stop_text=stop_text)
    document: dict[str, Any] = json.loads(reply.document([message], USAGE).to_json())
    return document


def without(document: Any, names: frozenset[str]) -> Any:
    """The document without members of these names, at any depth: ids and times differ."""
    if isinstance(document, dict):
        return {name: without(value, names) for name, value in document.items() if name not in names}
    return [without(each, names) for each in document] if isinstance(document, list) else document


def extras(value: Any, path: str = "") -> list[str]:
    """Fields of a pydantic model, at any depth, that its type does not have."""
    if isinstance(value, list):
        return [found for each in value for found in extras(each, path)]
    if not hasattr(value, "model_fields_set"):
        return []
    own = [f"{path}{name}" for name in value.model_extra or ()]
    return own + [found for name, each in dict(value).items() for found in extras(each, f"{path}{name}.")]
