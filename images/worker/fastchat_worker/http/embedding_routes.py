"""The routes that run an encoder: embeddings, reranking, scores."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from fastchat.api import EmbeddingInputs, EmbeddingRequest, EngineEmbeddingRequest, RerankRequest, ScoreRequest
from fastchat.api.routes import (
    CREATE_EMBEDDINGS,
    EMBEDDINGS,
    ENGINE_EMBEDDINGS,
    RERANK,
    RERANK_ALIASES,
    SCORE,
    SCORE_ALIASES,
)
from fastchat_worker.http.auth import key_of
from fastchat_worker.http.body import parse_serving
from fastchat_worker.http.openapi import described
from fastchat_worker.http.streaming import unless_disconnected
from fastchat_worker.serving.embeddings import embed
from fastchat_worker.serving.rerank import rerank, score
from fastchat_worker.serving.service import Service


def add_embeddings(app: FastAPI, service: Service) -> None:
    """Embeddings, under OpenAI's paths and FastChat's."""

    async def embeddings(request: Request) -> Response:
        """Turns texts into vectors."""
        wanted = await parse_serving(request, EmbeddingRequest, service)
        return await _embed(request, service, wanted, wanted.model)

    @app.post(ENGINE_EMBEDDINGS.path, **described(ENGINE_EMBEDDINGS))
    async def engine_embeddings(request: Request, model: str) -> Response:
        """Turns texts into vectors; the path names the model where the body does not."""
        wanted = await parse_serving(request, EngineEmbeddingRequest, service)
        return await _embed(request, service, wanted, wanted.model or model)

    for route in (EMBEDDINGS, CREATE_EMBEDDINGS):
        app.post(route.path, name=route.path, **described(route))(embeddings)


async def _embed(request: Request, service: Service, wanted: EmbeddingInputs, model: str) -> Response:
    embedder, batcher = service.models.find_embedder(model)
    embedded = await unless_disconnected(request, embed(embedder, batcher, wanted, model, key_of(request)))
    _count(request, service, model, embedded.tokens)
    return Response(embedded.document, media_type="application/json")


def add_reranking(app: FastAPI, service: Service) -> None:
    """Reranking in the shape of Jina's and Cohere's, scores in that of vLLM's."""

    async def rerank_documents(request: Request) -> Response:
        """Sorts documents by how well they match a query."""
        wanted = await parse_serving(request, RerankRequest, service)
        model = service.models.find_encoder(wanted.model)
        response, tokens = await unless_disconnected(request, rerank(model, wanted, key_of(request)))
        _count(request, service, wanted.model, tokens)
        return Response(response.to_json(), media_type="application/json")

    async def score_pairs(request: Request) -> Response:
        """Says how well two texts match."""
        wanted = await parse_serving(request, ScoreRequest, service)
        model = service.models.find_encoder(wanted.model)
        response, tokens = await unless_disconnected(request, score(model, wanted, key_of(request)))
        _count(request, service, wanted.model, tokens)
        return Response(response.to_json(), media_type="application/json")

    for route in (RERANK, *RERANK_ALIASES):
        app.post(route.path, name=route.name, **described(route))(rerank_documents)
    for route in (SCORE, *SCORE_ALIASES):
        app.post(route.path, name=route.name, **described(route))(score_pairs)


def _count(request: Request, service: Service, model: str, tokens: int) -> None:
    service.metrics.tokens.labels("prompt").inc(tokens)
    if trace := request.scope["trace"]:
        trace.record(model, input_tokens=tokens)
