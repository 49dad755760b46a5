"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's Messages API.

Source: Anthropic's API reference and the types of the package `anthropic`.
"""

from fastchat.api.messages.errors import MessagesError, MessagesErrorDetail, messages_error
from fastchat.api.messages.input import (
    MessagesTurn,
    RedactedThinkingBlock,
    SkippedBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from fastchat.api.messages.output import (
    ContentBlock,
    MessagesEvent,
    MessagesResponse,
    MessagesUsage,
    TextContent,
    ThinkingContent,
    TokenCount,
    ToolUseContent,
)
from fastchat.api.messages.request import Conversation, CountTokensRequest, MessagesRequest, MessagesTool

__all__ = [
    "ContentBlock",
    "Conversation",
    "CountTokensRequest",
    "MessagesError",
    "MessagesErrorDetail",
    "MessagesEvent",
    "MessagesRequest",
    "MessagesResponse",
    "MessagesTool",
    "MessagesTurn",
    "MessagesUsage",
    "RedactedThinkingBlock",
    "SkippedBlock",
    "TextBlock",
    "TextContent",
    "ThinkingBlock",
    "ThinkingContent",
    "TokenCount",
    "ToolResultBlock",
    "ToolUseBlock",
    "ToolUseContent",
    "messages_error",
]
