"""The routes that generate: chat and completions."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import Response

from fastchat._runtime.resuming import HANDED_OVER_HEADER, RESUMABLE_HEADER
from fastchat.api import ChatCompletionRequest, CompletionRequest
from fastchat.api.routes import API_CHAT_COMPLETIONS, CHAT_COMPLETIONS, COMPLETIONS
from fastchat_worker.http.auth import key_of
from fastchat_worker.http.body import parse_serving, resumption_of
from fastchat_worker.http.openapi import described
from fastchat_worker.http.streaming import EventStream, unless_disconnected
from fastchat_worker.serving.generation import Generation, HandedOverError
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.prompts import GenerationRequest, Prompts, chat_prompts, completion_prompts
from fastchat_worker.serving.replies.chat import ChatReply
from fastchat_worker.serving.replies.completion import CompletionReply
from fastchat_worker.serving.replies.reply import Reply, document, events, repeat
from fastchat_worker.serving.resuming.units import units
from fastchat_worker.serving.service import Service

if TYPE_CHECKING:
    from fastchat_worker.telemetry.trace import Trace

G = TypeVar("G", ChatCompletionRequest, CompletionRequest)


def add_generation(app: FastAPI, service: Service) -> None:
    """Chat and completions."""

    async def chat_completions(request: Request) -> Response:
        """Continues a conversation."""
        wanted = await parse_serving(request, ChatCompletionRequest, service)
        generation = await prepare(request, service, wanted, chat_prompts)
        reply = ChatReply(wanted, generation.identity, generation.prompt_tokens[0])
        return await respond(request, service, generation, reply, wanted)

    for route in (CHAT_COMPLETIONS, API_CHAT_COMPLETIONS):
        app.post(route.path, name=route.name, **described(route))(chat_completions)

    @app.post(COMPLETIONS.path, **described(COMPLETIONS))
    async def completions(request: Request) -> Response:
        """Continues one or more prompts."""
        wanted = await parse_serving(request, CompletionRequest, service)
        generation = await prepare(request, service, wanted, completion_prompts)
        reply = CompletionReply(wanted, generation.identity, generation.echo, generation.prompt_tokens)
        return await respond(request, service, generation, reply, wanted)


async def prepare(
    request: Request, service: Service, wanted: G, prompts_of: Callable[[Generator, G], Prompts]
) -> Generation:
    """Off the event loop: texts are split into tokens, and there may be thousands of them.

    Raises: RequestError 409 where the response began with another model, and 400.
    """
    generator, adapter = service.models.find_generator(wanted.model)
    resumption = resumption_of(request)
    if resumption.progress:
        resumption.progress.check_model(generator.digest_with(adapter))
    return await asyncio.to_thread(
        lambda: Generation(generator, prompts_of(generator, wanted), wanted, adapter, resumption)
    )


async def respond(
    request: Request,
    service: Service,
    generation: Generation,
    reply: Reply,
    wanted: GenerationRequest,
) -> Response:
    """Starts the generation; it is stopped and counted however the response ends."""
    offered = generation.resumption.offered
    if wanted.stream and generation.resumed:
        await asyncio.to_thread(repeat, generation, reply)
    generation.start(key_of(request))
    service.begin(generation)

    def end() -> None:
        service.end(generation)
        _end(generation, service, wanted.model, request.scope["trace"])

    if wanted.stream and offered:
        return EventStream(units(generation, reply), end, {RESUMABLE_HEADER: "1"})
    if wanted.stream:
        return EventStream(events(generation, reply), end)
    try:
        whole = await unless_disconnected(request, document(generation, reply))
    except HandedOverError:
        return await _handed_over(generation)
    finally:
        end()
    body = await asyncio.to_thread(whole.to_json) if generation.has_logprobs else whole.to_json()
    return Response(body, media_type="application/json")


async def _handed_over(generation: Generation) -> Response:
    body = await asyncio.to_thread(lambda: generation.progress.to_json())
    return Response(body, 503, {HANDED_OVER_HEADER: "1"}, "application/json")


def _end(generation: Generation, service: Service, model: str, trace: "Trace | None") -> None:
    generation.stop()
    usage, first_token = generation.usage, generation.first_token
    service.metrics.handed_over.inc(generation.handed_over)
    service.metrics.resumed.inc(generation.resumed)
    service.metrics.tokens.labels("prompt").inc(0 if generation.resumed else usage.prompt_tokens)
    service.metrics.tokens.labels("completion").inc(max(usage.completion_tokens - generation.replayed_tokens, 0))
    if first_token is not None:
        service.metrics.first_token.observe(first_token)
    if trace:
        tokens = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
        trace.record(model, **tokens, first_chunk=first_token, phases=generation.phases)
