"""The worker's routes."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from fastchat import __version__
from fastchat.api import (
    ChatCompletion,
    ChatCompletionRequest,
    Completion,
    CompletionRequest,
    EmbeddingData,
    EmbeddingRequest,
    EmbeddingResponse,
    Error,
    ErrorResponse,
    ModelCard,
    ModelList,
    TokenCheckRequest,
    TokenCheckResponse,
    TokenCheckResult,
    Usage,
    request_error,
)
from fastchat_worker import openapi
from fastchat_worker.answer import Answer, chat_answer, completion_answer
from fastchat_worker.embedder import Embedder, Vector
from fastchat_worker.errors import (
    RequestError,
    bad_request,
    context_length_exceeded,
    model_not_found,
    queue_full,
    server_error,
    too_large,
)
from fastchat_worker.in_flight import InFlight
from fastchat_worker.openapi import ERRORS, body_of
from fastchat_worker.reply import ChatReply, CompletionReply, Reply, document, events
from fastchat_worker.scheduler import QueueFullError
from fastchat_worker.service import Service

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


def create_app(service: Service) -> FastAPI:
    """The routes of DESIGN's worker contract over one service."""
    app = FastAPI(title="FastChat worker", version=__version__, redoc_url=None)
    openapi.describe(app, ChatCompletionRequest, CompletionRequest, EmbeddingRequest, TokenCheckRequest)
    _add_errors(app)
    _add_inference(app, service)
    _add_models(app, service)
    _add_probes(app, service)
    app.add_middleware(InFlight, service=service)
    return app


def _add_inference(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/chat/completions",
        responses=_answers(ChatCompletion, stream=True),
        openapi_extra=body_of(ChatCompletionRequest),
    )
    async def chat_completions(request: Request) -> Response:
        """Answers a conversation."""
        wanted = await _parse(request, ChatCompletionRequest, service)
        engine, decoder = service.demand_generation(wanted.model)
        answer = await asyncio.to_thread(chat_answer, engine, decoder, wanted)
        return await _respond(request, service, answer, ChatReply(wanted.model), wanted)

    @app.post("/v1/completions", responses=_answers(Completion, stream=True), openapi_extra=body_of(CompletionRequest))
    async def completions(request: Request) -> Response:
        """Continues one or more prompts."""
        wanted = await _parse(request, CompletionRequest, service)
        engine, decoder = service.demand_generation(wanted.model)
        answer = await asyncio.to_thread(completion_answer, engine, decoder, wanted)
        echo = [decoder.decode(prompt) for prompt in answer.prompts] if wanted.echo else None
        return await _respond(request, service, answer, CompletionReply(wanted.model, echo), wanted)

    async def embeddings(request: Request) -> Response:
        """Turns texts into vectors."""
        wanted = await _parse(request, EmbeddingRequest, service)
        loaded = service.demand(wanted.model)
        _check_dimensions(loaded.embedder, wanted)
        texts = await asyncio.to_thread(_tokens_of, loaded.embedder, wanted)
        try:
            jobs = loaded.batcher.submit(texts)
        except QueueFullError:
            raise queue_full() from None
        vectors = await _unless_gone(request, _gather(jobs))
        service.metrics.tokens.labels("prompt").inc(sum(map(len, texts)))
        return Response(_embedding_response(wanted, texts, vectors).to_json(), media_type="application/json")

    for path in ("/v1/embeddings", "/v1/create_embeddings"):
        extra = body_of(EmbeddingRequest)
        app.post(path, responses=_answers(EmbeddingResponse), openapi_extra=extra, name=path)(embeddings)

    @app.post("/api/v1/token_check", responses=_answers(TokenCheckResponse), openapi_extra=body_of(TokenCheckRequest))
    async def token_check(request: Request) -> Response:
        """Counts the tokens of prompts and says whether they and their answers fit the context."""
        wanted = await _parse(request, TokenCheckRequest, service)
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
        answer["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return {200: answer, **ERRORS}


# -- requests ---------------------------------------------------------------------------------------------------------


async def _parse(request: Request, model: type[R], service: Service) -> R:
    """The body as a request; RequestError names what is wrong with it."""
    body = await _read(request, service.settings.max_body_bytes)
    try:
        return model.model_validate_json(body)
    except ValidationError as invalid:
        raise RequestError(400, request_error(invalid)) from None


async def _read(request: Request, limit: int) -> bytes:
    """The body. What is over the limit is read and dropped, so that the client hears why instead of a reset."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > 16 * limit:
            break
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


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


def _check_tokens(service: Service, wanted: TokenCheckRequest) -> bytes:
    results = []
    for index, item in enumerate(wanted.prompts):
        loaded = service.demand(item.model)
        count = len(loaded.embedder.tokens(item.prompt, f"prompts[{index}].prompt"))
        fits = count + item.max_tokens <= loaded.max_len
        results.append(TokenCheckResult(fits=fits, tokenCount=count, contextLength=loaded.max_len))
    return TokenCheckResponse(prompts=results).to_json()


# -- responses --------------------------------------------------------------------------------------------------------


async def _respond(
    request: Request, service: Service, answer: Answer, reply: Reply, wanted: ChatCompletionRequest | CompletionRequest
) -> Response:
    answer.start()
    if not wanted.stream:
        whole = await _unless_gone(request, document(answer, reply))
        _count(service, answer)
        return Response(whole.to_json(), media_type="application/json")
    with_usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
    stream = _counted(events(answer, reply, with_usage=with_usage), service, answer)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _counted(stream: AsyncIterator[bytes], service: Service, answer: Answer) -> AsyncIterator[bytes]:
    try:
        async for event in stream:
            yield event
    finally:
        _count(service, answer)


def _count(service: Service, answer: Answer) -> None:
    service.metrics.tokens.labels("prompt").inc(answer.usage.prompt_tokens)
    service.metrics.tokens.labels("completion").inc(answer.usage.completion_tokens)
    if answer.first_piece is not None:
        service.metrics.first_token.observe(answer.first_piece)


def _embedding_response(
    wanted: EmbeddingRequest, texts: Sequence[list[int]], vectors: Sequence[Vector]
) -> EmbeddingResponse:
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


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled as soon as the client hangs up."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "The client hung up.")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# -- errors -----------------------------------------------------------------------------------------------------------


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
