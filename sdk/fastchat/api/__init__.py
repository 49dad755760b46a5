"""OpenAI's wire types, shared by client, gateway and worker.

Requests refuse what they do not know: a field that is dropped in silence changes a completion without a word.
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
    TextPart,
)
from fastchat.api.common import (
    FinishReason,
    Name,
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
from fastchat.api.embeddings import EmbeddingData, EmbeddingRequest, EmbeddingResponse
from fastchat.api.errors import Error, ErrorResponse, request_error
from fastchat.api.models import ModelCard, ModelList, Task
from fastchat.api.tokens import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult

__all__ = [
    "ChatChoice",
    "ChatChunkChoice",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionRequest",
    "ChatMessage",
    "Completion",
    "CompletionChoice",
    "CompletionRequest",
    "EmbeddingData",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Error",
    "ErrorResponse",
    "FinishReason",
    "Message",
    "ModelCard",
    "ModelList",
    "Name",
    "Refused",
    "Response",
    "StopText",
    "StreamOptions",
    "Task",
    "Text",
    "TextPart",
    "Texts",
    "TokenCheckItem",
    "TokenCheckRequest",
    "TokenCheckResponse",
    "TokenCheckResult",
    "Tokens",
    "Usage",
    "new_id",
    "now",
    "request_error",
]
