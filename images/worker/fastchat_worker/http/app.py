"""The worker's routes."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fastchat._runtime.version import version
from fastchat.api import (
    ChatCompletion,
    ChatCompletionRequest,
    Completion,
    CompletionRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    Error,
    ErrorResponse,
    ModelCard,
    ModelList,
    TokenCheckRequest,
    TokenCheckResponse,
    TokenCheckResult,
)
from fastchat_worker.errors import RequestError, TooLongError, model_not_found, server_error
from fastchat_worker.http import openapi
from fastchat_worker.http.auth import Auth, key_of
from fastchat_worker.http.exchange import EventStream, parse, unless_gone
from fastchat_worker.http.middleware import InFlight
from fastchat_worker.http.openapi import ERRORS, body_of
from fastchat_worker.serving.embeddings import embed
from fastchat_worker.serving.generation import Answer, chat_answer, completion_answer, echoed
from fastchat_worker.serving.replies import ChatReply, CompletionReply, Reply, document, events
from fastchat_worker.serving.service import Service

if TYPE_CHECKING:
    from fastchat_worker.telemetry.trace import Trace

log = logging.getLogger(__name__)


def create_app(service: Service) -> FastAPI:
    """The routes of DESIGN's worker contract over one service."""
    app = FastAPI(title="FastChat worker", version=version(), redoc_url=None)
    openapi.describe(app, ChatCompletionRequest, CompletionRequest, EmbeddingRequest, TokenCheckRequest)
    _add_errors(app)
    _add_inference(app, service)
    _add_models(app, service)
    _add_probes(app, service)
    if token := service.settings.internal_token:
        app.add_middleware(Auth, token=token)
    app.add_middleware(InFlight, service=service)
    return app


def _add_inference(app: FastAPI, service: Service) -> None:
    limit = service.settings.max_body_bytes

    @app.post(
        "/v1/chat/completions",
        responses=_answers(ChatCompletion, stream=True),
        openapi_extra=body_of(ChatCompletionRequest),
    )
    async def chat_completions(request: Request) -> Response:
        """Answers a conversation."""
        wanted = await parse(request, ChatCompletionRequest, limit)
        engine, language_model = service.demand_generation(wanted.model)
        answer = await asyncio.to_thread(chat_answer, engine, language_model, wanted)
        return await _respond(request, service, answer, ChatReply(wanted.model), wanted)

    @app.post("/v1/completions", responses=_answers(Completion, stream=True), openapi_extra=body_of(CompletionRequest))
    async def completions(request: Request) -> Response:
        """Continues one or more prompts."""
        wanted = await parse(request, CompletionRequest, limit)
        engine, language_model = service.demand_generation(wanted.model)
        answer = await asyncio.to_thread(completion_answer, engine, language_model, wanted)
        echo = await asyncio.to_thread(echoed, language_model, answer) if wanted.echo else None
        return await _respond(request, service, answer, CompletionReply(wanted.model, echo), wanted)

    async def embeddings(request: Request) -> Response:
        """Turns texts into vectors."""
        wanted = await parse(request, EmbeddingRequest, limit)
        loaded = service.demand(wanted.model)
        answer = await unless_gone(request, embed(loaded.embedder, loaded.batcher, wanted, key_of(request)))
        service.metrics.tokens.labels("prompt").inc(answer.tokens)
        if trace := request.scope["trace"]:
            trace.record(wanted.model, input_tokens=answer.tokens)
        return Response(answer.document, media_type="application/json")

    for path in ("/v1/embeddings", "/v1/create_embeddings"):
        extra = body_of(EmbeddingRequest)
        app.post(path, responses=_answers(EmbeddingResponse), openapi_extra=extra, name=path)(embeddings)

    @app.post("/api/v1/token_check", responses=_answers(TokenCheckResponse), openapi_extra=body_of(TokenCheckRequest))
    async def token_check(request: Request) -> Response:
        """Counts the tokens of prompts and says whether they and their answers fit the context."""
        wanted = await parse(request, TokenCheckRequest, limit)
        return Response(await asyncio.to_thread(_check_tokens, service, wanted), media_type="application/json")


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", responses=_answers(ModelList))
    async def models() -> Response:
        """The one model of this worker; its name is known before it is loaded."""
        return Response(ModelList(data=[service.card]).to_json(), media_type="application/json")

    @app.get("/v1/models/{model:path}", responses=_answers(ModelCard))
    async def model(model: str) -> Response:
        """The model by its name."""
        if model != service.settings.model_name:
            raise model_not_found(model)
        return Response(service.card.to_json(), media_type="application/json")


def _add_probes(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "loading or draining"}})
    async def ready() -> JSONResponse:
        """The model is loaded and requests are taken."""
        body = {"status": service.state, "detail": service.detail}
        return JSONResponse(body, 200 if service.state == "ready" else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


def _answers(model: type[BaseModel], *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    answer: dict[str, Any] = {"model": model}
    if stream:
        answer["content"] = {"text/event-stream": {}}
    return {200: answer, **ERRORS}


def _check_tokens(service: Service, wanted: TokenCheckRequest) -> bytes:
    results = []
    for index, item in enumerate(wanted.prompts):
        loaded = service.demand(item.model)
        try:
            count = len(loaded.embedder.tokens(item.prompt, f"prompts[{index}].prompt"))
        except TooLongError as error:
            count = error.at_least
        fits = count + item.max_tokens <= loaded.max_len
        results.append(TokenCheckResult(fits=fits, tokenCount=count, contextLength=loaded.max_len))
    return TokenCheckResponse(prompts=results).to_json()


async def _respond(
    request: Request, service: Service, answer: Answer, reply: Reply, wanted: ChatCompletionRequest | CompletionRequest
) -> Response:
    answer.start(key_of(request))

    def end() -> None:
        _end(answer, service, wanted.model, request.scope["trace"])

    if wanted.stream:
        with_usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
        return EventStream(events(answer, reply, with_usage=with_usage), end)
    try:
        whole = await unless_gone(request, document(answer, reply))
    finally:
        end()
    return Response(whole.to_json(), media_type="application/json")


def _end(answer: Answer, service: Service, model: str, trace: "Trace | None") -> None:
    answer.stop()
    service.metrics.tokens.labels("prompt").inc(answer.usage.prompt_tokens)
    service.metrics.tokens.labels("completion").inc(answer.usage.completion_tokens)
    if answer.first_piece is not None:
        service.metrics.first_token.observe(answer.first_piece)
    if trace:
        tokens = {"input_tokens": answer.usage.prompt_tokens, "output_tokens": answer.usage.completion_tokens}
        trace.record(model, **tokens, first_chunk=answer.first_piece, phases=answer.phases)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return Response(error.body, error.status, error.headers, "application/json")

    @app.exception_handler(HTTPException)
    async def unknown_route(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path}."
        body = ErrorResponse(error=Error(message=message, code="not_found" if error.status_code == 404 else None))
        return Response(body.model_dump_json(), error.status_code, error.headers, "application/json")

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return await refused(_, server_error())
