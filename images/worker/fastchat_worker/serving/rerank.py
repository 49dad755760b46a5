"""Requests to score pairs of texts: by a cross-encoder, or by the angle between the vectors of an embedding model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from fastchat.api import (
    RerankRequest,
    RerankResponse,
    RerankResult,
    Score,
    ScoreRequest,
    ScoreResponse,
    Usage,
    new_id,
    now,
)
from fastchat_worker.encoders.encoder import Embedder, Name, PairEncoder, Vector
from fastchat_worker.encoders.text import Reading, Text, TextTask
from fastchat_worker.serving.encoding import encode, read_in_groups
from fastchat_worker.serving.models import ServedModel


@dataclass(frozen=True)
class Pairs:
    """Texts to be matched: one of `left` for all of `right`, or one for each. keep: as in `Reading`."""

    left: Sequence[str]
    right: Sequence[str]
    name_left: Name
    name_right: Name
    keep: int | None

    @property
    def joined(self) -> list[tuple[str, str]]:
        """The two texts of each pair."""
        left = self.left if len(self.left) > 1 else [self.left[0]] * len(self.right)
        return list(zip(left, self.right, strict=True))

    @property
    def param(self) -> str:
        """The field that most of the texts are in."""
        return self.name_right(0).partition("[")[0]


@dataclass(frozen=True)
class Scored:
    """A score for each pair, and how many tokens were read for all of them."""

    scores: Sequence[float]
    tokens: int

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.tokens, total_tokens=self.tokens)


async def rerank(model: ServedModel, wanted: RerankRequest, key: str) -> tuple[RerankResponse, int]:
    """The documents by how well they match, the best first, and the tokens that were read.

    What is too long is cut, as Jina, Cohere and `CrossEncoder.predict` do. Raises: RequestError.
    """
    keep = -1 if wanted.truncate_prompt_tokens is None else wanted.truncate_prompt_tokens
    texts = wanted.texts
    scored = await _scored(
        model, Pairs([wanted.query], texts, lambda _: "query", _named("documents", texts), keep), key
    )
    order = sorted(range(len(texts)), key=lambda at: -scored.scores[at])[: wanted.top_n or None]
    results = [RerankResult(index=at, relevance_score=scored.scores[at]) for at in order]
    if wanted.return_documents is not False:
        for result in results:
            result.document = {"text": texts[result.index]}
    response = RerankResponse(id=new_id("rerank"), model=wanted.model, results=results, usage=scored.usage)
    return response, scored.tokens


async def score(model: ServedModel, wanted: ScoreRequest, key: str) -> tuple[ScoreResponse, int]:
    """A score for each pair, in their order, and the tokens that were read. Raises: RequestError."""
    (left, right), (name_left, name_right) = map(_listed, (wanted.left, wanted.right)), wanted.names
    pairs = Pairs(
        left, right, _named(name_left, wanted.left), _named(name_right, wanted.right), wanted.truncate_prompt_tokens
    )
    scored = await _scored(model, pairs, key)
    data = [Score(index=at, score=number) for at, number in enumerate(scored.scores)]
    response = ScoreResponse(id=new_id("score"), created=now(), model=wanted.model, data=data, usage=scored.usage)
    return response, scored.tokens


def _listed(side: str | list[str]) -> list[str]:
    return [side] if isinstance(side, str) else side


def _named(field: str, side: str | list[str]) -> Name:
    return (lambda at: f"{field}[{at}]") if isinstance(side, list) else lambda _: field


async def _scored(model: ServedModel, pairs: Pairs, key: str) -> Scored:
    if hasattr(model.encoder, "read_pairs"):
        return await _by_cross_encoder(model, pairs, key)
    return await _by_vectors(model, pairs, key)


async def _by_cross_encoder(model: ServedModel, pairs: Pairs, key: str) -> Scored:
    encoder = cast(PairEncoder, model.encoder)

    def read(some: Sequence[tuple[str, str]], name: Name) -> list[Text]:
        return encoder.read_pairs(some, name, pairs.keep)

    texts = await asyncio.to_thread(read_in_groups, pairs.joined, pairs.name_right, read, encoder.max_len, pairs.param)
    numbers = await encode(model.batcher, texts, key, pairs.name_right)
    return Scored([float(number) for number in numbers], sum(len(text.tokens) for text in texts))


async def _by_vectors(model: ServedModel, pairs: Pairs, key: str) -> Scored:
    """The left are embedded as queries, the right as documents."""
    encoder, first = cast(Embedder, model.encoder), len(pairs.left)

    def name(at: int) -> str:
        return pairs.name_left(at) if at < first else pairs.name_right(at - first)

    def read(task: TextTask, texts: Sequence[str], name: Name) -> list[Text]:
        reading = Reading(task, keep=pairs.keep)
        how = partial(encoder.read, reading=reading)
        return read_in_groups(texts, name, how, encoder.max_len, pairs.param)

    queries = await asyncio.to_thread(read, "query", pairs.left, pairs.name_left)
    documents = await asyncio.to_thread(read, "document", pairs.right, pairs.name_right)
    texts = [*queries, *documents]
    vectors = await encode(model.batcher, texts, key, name)
    default = encoder.dimensions.default
    scores = await asyncio.to_thread(_cosines, [vector[:default] for vector in vectors], first)
    return Scored(scores, sum(len(text.tokens) for text in texts))


def _cosines(vectors: Sequence[Vector], first: int) -> list[float]:
    """Between the first so many vectors, or the only one of them, and each of the others."""
    rows = np.stack(vectors).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines: list[float] = (rows[:first] * rows[first:]).sum(axis=1).tolist()
    return cosines
