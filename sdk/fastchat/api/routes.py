"""The routes of the API: the one table that gateway, worker, traces and client read.

A new route is one entry of `ROUTES`, and its code in the worker's `http/inference.py`. The gateway relays it because
the entry says what a worker does with it (`task`); OpenAPI documents, metrics and traces have it from here. The
Responses API would be

    Route("/v1/responses", "/v1/responses", name="responses", description="Respond to an input.",
          request=ResponsesRequest, response=ResponsesResponse, event=ResponsesEvent,
          task="generate", operation="chat")

What a part serves for probes, Prometheus, the autoscaler and people is no part of the API, and not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fastchat.api.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from fastchat.api.common import Request, Response
from fastchat.api.completions import Completion, CompletionRequest
from fastchat.api.embeddings import EmbeddingRequest, EmbeddingResponse
from fastchat.api.models import ModelCard, ModelList
from fastchat.api.tokens import TokenCheckRequest, TokenCheckResponse


@dataclass(frozen=True)
class Route:
    """One route of the API."""

    path: str
    """At the gateway, and at a worker that is asked directly; as Starlette writes paths."""
    worker_path: str
    """At the worker, where the gateway asks it."""
    name: str
    """In the gateway's OpenAPI document."""
    description: str
    """Likewise: what it does."""
    response: type[Response]
    request: type[Request] | None = None
    """The body of a POST; None: it is a GET."""
    event: type[Response] | None = None
    """What an event of its stream holds; None: it does not stream."""
    task: Literal["generate", "embed"] | None = None
    """What a worker does with the request that the gateway relays to it; None: the gateway responds itself."""
    operation: str = ""
    """`gen_ai.operation.name` in traces, one of OpenTelemetry's names; empty: none."""


CHAT_COMPLETIONS = Route(
    "/v1/chat/completions",
    "/v1/chat/completions",
    name="chat_completions",
    description="Answer a conversation.",
    request=ChatCompletionRequest,
    response=ChatCompletion,
    event=ChatCompletionChunk,
    task="generate",
    operation="chat",
)
COMPLETIONS = Route(
    "/v1/completions",
    "/v1/completions",
    name="completions",
    description="Continue a text.",
    request=CompletionRequest,
    response=Completion,
    event=Completion,
    task="generate",
    operation="text_completion",
)
EMBEDDINGS = Route(
    "/v1/embeddings",
    "/v1/embeddings",
    name="embeddings",
    description="Vectors of texts.",
    request=EmbeddingRequest,
    response=EmbeddingResponse,
    task="embed",
    operation="embeddings",
)
CREATE_EMBEDDINGS = replace(
    EMBEDDINGS,
    path="/v1/create_embeddings",
    name="create_embeddings",
    description="FastChat's first name for `/v1/embeddings`.",
)
TOKEN_CHECK = Route(
    "/api/v1/token_check",
    "/api/v1/token_check",
    name="check_tokens",
    description="Do prompts and their answers fit the models' context?",
    request=TokenCheckRequest,
    response=TokenCheckResponse,
)
MODELS = Route(
    "/v1/models",
    "/v1/models",
    name="list_models",
    description="The models served, and their aliases: those that the API key may use.",
    response=ModelList,
)
MODEL = Route(
    "/v1/models/{model:path}",
    "/v1/models/{model:path}",
    name="retrieve_model",
    description="One model or alias.",
    response=ModelCard,
)

ROUTES = (CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, CREATE_EMBEDDINGS, TOKEN_CHECK, MODELS, MODEL)

OPERATIONS: Mapping[str, str] = {route.path: route.operation for route in ROUTES if route.operation}
"""Operation by path."""
