"""The routes that count and split: nothing is computed but tokens."""

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import Response

from fastchat.api import DetokenizeRequest, TokenCheckRequest, TokenizeRequest
from fastchat.api.routes import DETOKENIZE, TOKEN_CHECK, TOKENIZE
from fastchat_worker.http.body import parse_serving
from fastchat_worker.http.openapi import described
from fastchat_worker.serving.service import Service
from fastchat_worker.serving.token_check import check_tokens
from fastchat_worker.serving.tokenize import detokenize, tokenize


def add_tokens(app: FastAPI, service: Service) -> None:
    """FastChat's check whether prompts fit, and vLLM's ways between texts and tokens."""

    @app.post(TOKEN_CHECK.path, **described(TOKEN_CHECK))
    async def token_check(request: Request) -> Response:
        """Counts the tokens of prompts and says whether they fit the context with what is to follow them."""
        wanted = await parse_serving(request, TokenCheckRequest, service)
        checked = await asyncio.to_thread(check_tokens, service.models, wanted)
        return Response(checked.to_json(), media_type="application/json")

    @app.post(TOKENIZE.path, **described(TOKENIZE))
    async def tokenize_text(request: Request) -> Response:
        """Splits a text or a conversation into tokens."""
        wanted = await parse_serving(request, TokenizeRequest, service)
        split = await asyncio.to_thread(tokenize, service.models, wanted)
        return Response(await asyncio.to_thread(split.to_json), media_type="application/json")

    @app.post(DETOKENIZE.path, **described(DETOKENIZE))
    async def detokenize_tokens(request: Request) -> Response:
        """Puts tokens together to a text."""
        wanted = await parse_serving(request, DetokenizeRequest, service)
        joined = await asyncio.to_thread(detokenize, service.models, wanted)
        return Response(joined.to_json(), media_type="application/json")
