"""An embedding request: its inputs as tokens, their vectors in OpenAI's shape."""

import asyncio
import base64
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from fastchat.api import EmbeddingData, EmbeddingRequest, EmbeddingResponse, Usage
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.errors import bad_request, context_length_exceeded, queue_full, server_error, too_many_tokens
from fastchat_worker.model.measure import MOST_TOKENS
from fastchat_worker.serving.batcher import Batcher
from fastchat_worker.serving.embedder import REMEDY, Embedder, Vector

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embedded:
    """The response as a JSON document, and how many tokens the inputs had."""

    document: bytes
    tokens: int


async def embed(embedder: Embedder, batcher: Batcher, wanted: EmbeddingRequest, key: str = "") -> Embedded:
    """The vectors of a request's inputs, queued as those of an API key.

    Raises: RequestError 400 for what the model does not take, 429 where the queue is full, 500 where the model fails.
    """
    _check_dimensions(embedder, wanted)
    texts = await asyncio.to_thread(_tokens_of, embedder, wanted)
    try:
        jobs = batcher.submit(texts, key)
    except QueueFullError:
        raise queue_full() from None
    vectors = await _gather(jobs)
    tokens = sum(map(len, texts))
    return Embedded(await asyncio.to_thread(_document, wanted, tokens, vectors), tokens)


def _check_dimensions(embedder: Embedder, wanted: EmbeddingRequest) -> None:
    if wanted.dimensions not in (None, embedder.dimensions):
        message = f"This model's vectors have {embedder.dimensions} dimensions, not {wanted.dimensions}."
        raise bad_request(message, "dimensions", "unsupported_parameter")


def _tokens_of(embedder: Embedder, wanted: EmbeddingRequest) -> list[list[int]]:
    """The tokens of each input. Raises: RequestError 400 where one is longer than the model takes."""
    keep = wanted.truncate_prompt_tokens
    if keep is not None:
        keep = embedder.max_len if keep < 1 else min(keep, embedder.max_len)
    texts, left = [], max(MOST_TOKENS, embedder.max_len)
    for index, text in enumerate(wanted.inputs):
        param = "input" if isinstance(wanted.input, str) else f"input[{index}]"
        tokens = embedder.tokens(text, param, keep)
        if len(tokens) > embedder.max_len:
            raise context_length_exceeded(embedder.max_len, f"{param} has {len(tokens)} tokens{REMEDY}", param)
        left -= len(tokens)
        if left < 0:
            raise too_many_tokens(MOST_TOKENS, "input")
        texts.append(tokens)
    return texts


def _document(wanted: EmbeddingRequest, tokens: int, vectors: Sequence[Vector]) -> bytes:
    """The response's JSON, one vector at a time: a million numbers in one call would hold up all other threads."""
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    whole = EmbeddingResponse(data=[], model=wanted.model, usage=usage).to_json()
    data = []
    for index, vector in enumerate(vectors):
        numbers = _base64(vector) if wanted.encoding_format == "base64" else vector.tolist()
        data.append(EmbeddingData(index=index, embedding=numbers).to_json())
    return whole.replace(b'"data":[]', b'"data":[%b]' % b",".join(data), 1)


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


async def _gather(jobs: Sequence["Future[Vector]"]) -> list[Vector]:
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, jobs))
    except Exception:
        logger.exception("embedding failed")
        raise server_error() from None
    finally:
        for job in jobs:
            job.cancel()
