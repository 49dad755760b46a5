"""What the client calls is in the table of routes, and of the table everything but other names of the same."""

import re

import httpx

from fastchat import Client
from fastchat.api.routes import (
    API_CHAT_COMPLETIONS,
    COUNT_TOKENS,
    CREATE_EMBEDDINGS,
    DETOKENIZE,
    ENGINE_EMBEDDINGS,
    MESSAGES,
    RERANK_ALIASES,
    RESPONSES,
    ROUTES,
    SCORE_ALIASES,
    TOKEN_CHECK,
    TOKENIZE,
)

OTHER_NAMES = (API_CHAT_COMPLETIONS, CREATE_EMBEDDINGS, ENGINE_EMBEDDINGS, *RERANK_ALIASES, *SCORE_ALIASES)
OTHER_CLIENTS = (RESPONSES, MESSAGES, COUNT_TOKENS)
"""For them there are the packages of those who made these APIs."""
NOT_CALLED = {route.path for route in (*OTHER_NAMES, *OTHER_CLIENTS, TOKEN_CHECK, TOKENIZE, DETOKENIZE)}


def route_of(request: httpx.Request) -> str:
    """The path of the table by which a request goes."""
    for route in ROUTES:
        pattern = re.sub(r"\\{.*?\\}", ".+", re.escape(route.path))
        if re.fullmatch(pattern, request.url.path) and (request.method == "POST") == bool(route.request):
            return route.path
    raise AssertionError(f"{request.method} {request.url.path} is not in the table")


def test_each_resource_calls_its_route():
    called = []

    def note(request: httpx.Request) -> httpx.Response:
        called.append(route_of(request))
        return httpx.Response(200, json={})

    with Client(base_url="http://gateway", http_client=httpx.Client(transport=httpx.MockTransport(note))) as client:
        client.chat.completions.create(model="m", messages=[])
        client.completions.create(model="m", prompt="x")
        client.embeddings.create(model="m", input="x")
        client.rerank.create(model="m", query="x", documents=["y"])
        client.score.create(model="m", text_1="x", text_2=["y"])
        client.models.list()
        client.models.retrieve("org/m")
    assert sorted(called) == sorted({route.path for route in ROUTES} - NOT_CALLED)
