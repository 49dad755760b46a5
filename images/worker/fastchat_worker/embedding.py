"""An embedding request: its inputs as tokens, their vectors in OpenAI's shape."""

import asyncio
import base64
import logging
from collections.abc import Sequence
from concurrent.futures import Future

from fastchat.api import EmbeddingData, EmbeddingRequest, EmbeddingResponse, Usage
from fastchat_worker.embedder import Batcher, Embedder, Vector
from fastchat_worker.errors import bad_request, context_length_exceeded, queue_full, server_error
from fastchat_worker.scheduler import QueueFullError

log = logging.getLogger(__name__)


async def embed(embedder: Embedder, batcher: Batcher, wanted: EmbeddingRequest, key: str = "") -> EmbeddingResponse:
    """The vectors of the inputs of a key's request; RequestError where one cannot be had."""
    _check_dimensions(embedder, wanted)
    texts = await asyncio.to_thread(_tokens_of, embedder, wanted)
    try:
        jobs = batcher.submit(texts, key)
    except QueueFullError:
        raise queue_full() from None
    return _response(wanted, texts, await _gather(jobs))


def _check_dimensions(embedder: Embedder, wanted: EmbeddingRequest) -> None:
    if wanted.dimensions not in (None, embedder.dimensions):
        message = f"This model's vectors have {embedder.dimensions} dimensions, not {wanted.dimensions}."
        raise bad_request(message, "dimensions", "unsupported_parameter")


def _tokens_of(embedder: Embedder, wanted: EmbeddingRequest) -> list[list[int]]:
    """The tokens of each input; RequestError where one is longer than the model takes."""
    keep = wanted.truncate_prompt_tokens
    if keep is not None:
        keep = embedder.max_len if keep < 1 else min(keep, embedder.max_len)
    texts = []
    for index, text in enumerate(wanted.inputs):
        param = "input" if isinstance(wanted.input, str) else f"input[{index}]"
        tokens = embedder.tokens(text, param, keep)
        if len(tokens) > embedder.max_len:
            message = f"{param} has {len(tokens)} tokens; 'truncate_prompt_tokens': -1 would cut it"
            raise context_length_exceeded(embedder.max_len, message, param)
        texts.append(tokens)
    return texts


def _response(wanted: EmbeddingRequest, texts: Sequence[list[int]], vectors: Sequence[Vector]) -> EmbeddingResponse:
    count = sum(map(len, texts))
    data = [
        EmbeddingData(index=index, embedding=_base64(vector) if wanted.encoding_format == "base64" else vector.tolist())
        for index, vector in enumerate(vectors)
    ]
    return EmbeddingResponse(data=data, model=wanted.model, usage=Usage(prompt_tokens=count, total_tokens=count))


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


async def _gather(jobs: Sequence["Future[Vector]"]) -> list[Vector]:
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, jobs))
    except Exception:
        log.exception("embedding failed")
        raise server_error() from None
    finally:
        for job in jobs:
            job.cancel()
