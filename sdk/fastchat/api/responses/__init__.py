"""`/v1/responses`: OpenAI's Responses API, without what needs a memory of earlier requests.

Source: OpenAI's API reference and the types of the package `openai`.
"""

from fastchat.api.responses.input import (
    CustomCallItem,
    CustomOutputItem,
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    InputMessage,
    LeftOutItem,
    ReasoningItem,
)
from fastchat.api.responses.output import (
    CustomCall,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningOutput,
    ReasoningText,
    ResponseError,
    ResponseFunctionCall,
    ResponsesEvent,
    ResponsesResponse,
    ResponsesUsage,
    SummaryText,
)
from fastchat.api.responses.request import ResponsesRequest
from fastchat.api.responses.tools import DeclaredTool

__all__ = [
    "CustomCall",
    "CustomCallItem",
    "CustomOutputItem",
    "DeclaredTool",
    "FunctionCallItem",
    "FunctionOutputItem",
    "InputItem",
    "InputMessage",
    "LeftOutItem",
    "OutputItem",
    "OutputMessage",
    "OutputText",
    "ReasoningItem",
    "ReasoningOutput",
    "ReasoningText",
    "ResponseError",
    "ResponseFunctionCall",
    "ResponsesEvent",
    "ResponsesRequest",
    "ResponsesResponse",
    "ResponsesUsage",
    "SummaryText",
]
