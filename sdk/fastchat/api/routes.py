"""The routes of the API: the one table that gateway, worker, traces and client read.

A new route is one entry of `ROUTES`, and its code in one of the files of the worker's `http/`. The gateway relays it
because the entry says what a worker does with it (`task`); OpenAPI documents, metrics and traces have it from here.

What a part serves for probes, Prometheus, the autoscaler and people is no part of the API, and not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fastchat.api.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from fastchat.api.common import Request, Response
from fastchat.api.completions import Completion, CompletionRequest
from fastchat.api.embeddings import EmbeddingRequest, EmbeddingResponse, EngineEmbeddingRequest
from fastchat.api.messages import CountTokensRequest, MessagesEvent, MessagesRequest, MessagesResponse, TokenCount
from fastchat.api.models import ModelCard, ModelList
from fastchat.api.rerank import RerankRequest, RerankResponse, ScoreRequest, ScoreResponse
from fastchat.api.responses import ResponsesEvent, ResponsesRequest, ResponsesResponse
from fastchat.api.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from fastchat.api.tokens import TokenCheckRequest, TokenCheckResponse

Style = Literal["completions", "responses", "messages"]
"""Of whose making a route is: OpenAI's older API, OpenAI's Responses API, Anthropic's Messages API.

By either of the newer ones a request is for one completion, the events of a stream have names, and the last of them
tell usage unasked. Errors of the Messages API have a shape of their own.
"""


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
    task: Literal["generate", "embed", "rerank", "tokenize"] | None = None
    """What a worker does with the request that the gateway relays to it; None: the gateway responds itself."""
    style: Style = "completions"
    operation: str = ""
    """`gen_ai.operation.name` in traces, one of OpenTelemetry's names where it has one; empty: none."""


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
API_CHAT_COMPLETIONS = replace(
    CHAT_COMPLETIONS,
    path="/api/v1/chat/completions",
    name="api_chat_completions",
    description="FastChat's other path for `/v1/chat/completions`.",
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
RESPONSES = Route(
    "/v1/responses",
    "/v1/responses",
    name="responses",
    description="Respond to an input: OpenAI's newer API, without what needs a memory of earlier requests.",
    request=ResponsesRequest,
    response=ResponsesResponse,
    event=ResponsesEvent,
    task="generate",
    style="responses",
    operation="chat",
)
MESSAGES = Route(
    "/v1/messages",
    "/v1/messages",
    name="messages",
    description="Answer a conversation, by Anthropic's API.",
    request=MessagesRequest,
    response=MessagesResponse,
    event=MessagesEvent,
    task="generate",
    style="messages",
    operation="chat",
)
COUNT_TOKENS = Route(
    "/v1/messages/count_tokens",
    "/v1/messages/count_tokens",
    name="count_message_tokens",
    description="How many tokens the prompt of `/v1/messages` would have.",
    request=CountTokensRequest,
    response=TokenCount,
    task="tokenize",
    style="messages",
    operation="tokenize",
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
ENGINE_EMBEDDINGS = replace(
    EMBEDDINGS,
    path="/v1/engines/{model:path}/embeddings",
    name="engine_embeddings",
    description="OpenAI's first path for `/v1/embeddings`, with the model in it.",
    request=EngineEmbeddingRequest,
)
RERANK = Route(
    "/v1/rerank",
    "/v1/rerank",
    name="rerank",
    description="How well documents match a query, the best first.",
    request=RerankRequest,
    response=RerankResponse,
    task="rerank",
    operation="rerank",
)
SCORE = Route(
    "/v1/score",
    "/v1/score",
    name="score",
    description="How well two texts match, for each pair.",
    request=ScoreRequest,
    response=ScoreResponse,
    task="rerank",
    operation="score",
)
TOKENIZE = Route(
    "/tokenize",
    "/tokenize",
    name="tokenize",
    description="The tokens of a text or a conversation.",
    request=TokenizeRequest,
    response=TokenizeResponse,
    task="tokenize",
    operation="tokenize",
)
DETOKENIZE = Route(
    "/detokenize",
    "/detokenize",
    name="detokenize",
    description="The text of tokens.",
    request=DetokenizeRequest,
    response=DetokenizeResponse,
    task="tokenize",
    operation="detokenize",
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

RERANK_ALIASES = (
    replace(RERANK, path="/rerank", name="rerank_bare", description="`/v1/rerank`."),
    replace(RERANK, path="/v2/rerank", name="rerank_v2", description="`/v1/rerank`, where Cohere's clients look."),
)
SCORE_ALIASES = (replace(SCORE, path="/score", name="score_bare", description="`/v1/score`."),)

ROUTES = (
    CHAT_COMPLETIONS,
    API_CHAT_COMPLETIONS,
    COMPLETIONS,
    RESPONSES,
    MESSAGES,
    COUNT_TOKENS,
    EMBEDDINGS,
    CREATE_EMBEDDINGS,
    ENGINE_EMBEDDINGS,
    RERANK,
    *RERANK_ALIASES,
    SCORE,
    *SCORE_ALIASES,
    TOKENIZE,
    DETOKENIZE,
    TOKEN_CHECK,
    MODELS,
    MODEL,
)

OPERATIONS: Mapping[str, str] = {route.path: route.operation for route in ROUTES if route.operation}
"""Operation by path."""


def style_of(path: str) -> Style:
    """Of a path, whether or not there is a route: whoever asks for one of Anthropic's expects its errors."""
    if path == MESSAGES.path or path.startswith(MESSAGES.path + "/"):
        return "messages"
    return "responses" if path == RESPONSES.path else "completions"
