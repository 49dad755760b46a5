"""The routes that agents speak: OpenAI's Responses API and Anthropic's Messages API, both as chats."""

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import Response

from fastchat.api.messages import CountTokensRequest, MessagesRequest, TokenCount
from fastchat.api.responses import ResponsesRequest
from fastchat.api.routes import COUNT_TOKENS, MESSAGES, RESPONSES
from fastchat_worker.errors import RequestError
from fastchat_worker.http.body import parse_serving
from fastchat_worker.http.inference import prepare, respond
from fastchat_worker.http.openapi import described
from fastchat_worker.serving.replies.messages import MessagesReply
from fastchat_worker.serving.replies.responses import ResponsesReply
from fastchat_worker.serving.requests import messages as messages_api
from fastchat_worker.serving.requests import responses as responses_api
from fastchat_worker.serving.requests.prompts import agent_prompts, count_tokens
from fastchat_worker.serving.service import Service


def add_responses(app: FastAPI, service: Service) -> None:
    """OpenAI's Responses API."""

    @app.post(RESPONSES.path, **described(RESPONSES))
    async def responses(request: Request) -> Response:
        """Responds to an input."""
        wanted = await parse_serving(request, ResponsesRequest, service)
        try:
            chat = await asyncio.to_thread(responses_api.to_chat, wanted)
            generation = await prepare(request, service, chat, agent_prompts)
        except RequestError as error:
            raise responses_api.renamed(error) from None
        return await respond(request, service, generation, ResponsesReply(wanted, generation.identity), chat)


def add_messages(app: FastAPI, service: Service) -> None:
    """Anthropic's Messages API."""

    @app.post(MESSAGES.path, **described(MESSAGES))
    async def messages(request: Request) -> Response:
        """Answers a conversation."""
        wanted = await parse_serving(request, MessagesRequest, service)
        chat = await asyncio.to_thread(messages_api.to_chat, wanted)
        generation = await prepare(request, service, chat, agent_prompts)
        reply = MessagesReply(wanted, generation.identity, generation.usage)
        return await respond(request, service, generation, reply, chat)

    @app.post(COUNT_TOKENS.path, **described(COUNT_TOKENS))
    async def count(request: Request) -> Response:
        """Counts the tokens of a conversation, with all that the model's template puts around it."""
        wanted = await parse_serving(request, CountTokensRequest, service)
        generator, _ = service.models.find_generator(wanted.model)
        tokens = await asyncio.to_thread(lambda: count_tokens(generator, messages_api.to_chat(wanted)))
        return Response(TokenCount(input_tokens=tokens).to_json(), media_type="application/json")
