"""OpenAI's wire types, shared by client, gateway and worker.

Requests keep apart the fields that they do not know (`unknown_fields`), so that whoever serves them can say so, and
refuse by name those that they know and that nobody serves: they would change the completion.
Lists stop at their first error (`fail_fast`): an error for each of a hundred thousand elements would take seconds.
What else may be wrong is bounded by `fastchat.api.structure`, which is to be called first.
Responses keep what they do not know, so that another engine's additions reach the caller.
Source: OpenAI's API reference (chat completions, completions, embeddings, models) and FastChat's `token_check`.
"""

from fastchat.api.chat import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatMessage,
    Message,
    Part,
)
from fastchat.api.common import (
    CompletionTokensDetails,
    FinishReason,
    Name,
    PromptTokensDetails,
    Refused,
    Response,
    StopText,
    StreamOptions,
    Text,
    Texts,
    Tokens,
    Usage,
    new_id,
    now,
)
from fastchat.api.completions import Completion, CompletionChoice, CompletionRequest
from fastchat.api.embeddings import (
    INPUT_TYPES,
    EmbeddingData,
    EmbeddingInputs,
    EmbeddingRequest,
    EmbeddingResponse,
    EngineEmbeddingRequest,
    InputType,
)
from fastchat.api.errors import Error, ErrorResponse, request_error
from fastchat.api.models import ModelCard, ModelList, Task
from fastchat.api.rerank import (
    RerankDocument,
    RerankRequest,
    RerankResponse,
    RerankResult,
    Score,
    ScoreRequest,
    ScoreResponse,
)
from fastchat.api.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from fastchat.api.tokens import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult
from fastchat.api.tools import CalledFunction, Function, ResponseToolCall, ToolCall

__all__ = [
    "INPUT_TYPES",
    "CalledFunction",
    "ChatChoice",
    "ChatChunkChoice",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionRequest",
    "ChatMessage",
    "Completion",
    "CompletionChoice",
    "CompletionRequest",
    "CompletionTokensDetails",
    "DetokenizeRequest",
    "DetokenizeResponse",
    "EmbeddingData",
    "EmbeddingInputs",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "EngineEmbeddingRequest",
    "Error",
    "ErrorResponse",
    "FinishReason",
    "Function",
    "InputType",
    "Message",
    "ModelCard",
    "ModelList",
    "Name",
    "Part",
    "PromptTokensDetails",
    "Refused",
    "RerankDocument",
    "RerankRequest",
    "RerankResponse",
    "RerankResult",
    "Response",
    "ResponseToolCall",
    "Score",
    "ScoreRequest",
    "ScoreResponse",
    "StopText",
    "StreamOptions",
    "Task",
    "Text",
    "Texts",
    "TokenCheckItem",
    "TokenCheckRequest",
    "TokenCheckResponse",
    "TokenCheckResult",
    "TokenizeRequest",
    "TokenizeResponse",
    "Tokens",
    "ToolCall",
    "Usage",
    "new_id",
    "now",
    "request_error",
]
