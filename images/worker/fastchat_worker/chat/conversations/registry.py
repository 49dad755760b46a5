"""The conversations that ship, by name."""

from types import MappingProxyType

from fastchat_worker.chat.conversations import instructions, markers, others, vicuna

CONVERSATIONS = MappingProxyType(
    {
        each.name: each
        for families in (vicuna.FAMILIES, instructions.FAMILIES, markers.FAMILIES, others.FAMILIES)
        for each in families
    }
)
"""Names are FastChat's, as its `--conv-template` took them."""
