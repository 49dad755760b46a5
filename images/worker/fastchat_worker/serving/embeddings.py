"""An embedding request: its inputs as tokens, their vectors in OpenAI's shape."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass

from fastchat.api import EmbeddingData, EmbeddingInputs, EmbeddingResponse, InputType, Usage
from fastchat_worker.encoders.batcher import Batcher
from fastchat_worker.encoders.dimensions import Dimensions
from fastchat_worker.encoders.encoder import Embedder, Name, Vector
from fastchat_worker.encoders.text import Reading, Text, TextTask
from fastchat_worker.serving.encoding import encode, read_in_groups

_TASKS: dict[InputType, TextTask] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
}
"""Of an `input_type`; others name a prompt, if the model has one."""


@dataclass(frozen=True)
class Embedded:
    """The response as a JSON document, and how many tokens the inputs had."""

    document: bytes
    tokens: int


async def embed(embedder: Embedder, batcher: Batcher, wanted: EmbeddingInputs, model: str, key: str = "") -> Embedded:
    """The vectors of a request's inputs, queued as those of an API key; `model` is its name in the response.

    Raises: RequestError 400 for what the model does not take, 429 where the queue is full, 500 where the model fails.
    """
    embedder.dimensions.check(wanted.dimensions)
    texts = await asyncio.to_thread(_texts, embedder, wanted)
    vectors = await encode(batcher, texts, key, lambda at: _name(wanted, at))
    tokens = sum(len(text.tokens) for text in texts)
    return Embedded(await asyncio.to_thread(_document, wanted, model, tokens, vectors, embedder.dimensions), tokens)


def _texts(embedder: Embedder, wanted: EmbeddingInputs) -> list[Text]:
    """Each input read. Raises: RequestError 400 where one is longer than the model takes."""
    reading = _reading(wanted)

    def read(texts: Sequence[str | list[int]], name: Name) -> list[Text]:
        return embedder.read(texts, name, reading)

    return read_in_groups(wanted.inputs, lambda at: _name(wanted, at), read, embedder.max_len, "input")


def _reading(wanted: EmbeddingInputs) -> Reading:
    kind = wanted.input_type
    task = None if kind is None else _TASKS.get(kind)
    return Reading(task, wanted.prompt_name, hint=None if task else kind, keep=wanted.keep)


def _name(wanted: EmbeddingInputs, at: int) -> str:
    """Of an input, in errors."""
    return "input" if wanted.inputs[at] is wanted.input else f"input[{at}]"


def _document(
    wanted: EmbeddingInputs, model: str, tokens: int, vectors: Sequence[Vector], dimensions: Dimensions
) -> bytes:
    """The response's JSON, one vector at a time: a million numbers in one call would hold up all other threads."""
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    whole = EmbeddingResponse(data=[], model=model, usage=usage).to_json()
    data = []
    for index, vector in enumerate(vectors):
        cut = dimensions.cut(vector, wanted.dimensions)
        numbers = _base64(cut) if wanted.encoding_format == "base64" else cut.tolist()
        data.append(EmbeddingData(index=index, embedding=numbers).to_json())
    return whole.replace(b'"data":[]', b'"data":[%b]' % b",".join(data), 1)


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
