"""Conversations through a model's chat template."""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from fastchat.api import Message
from fastchat_worker.errors import bad_request

_ROLES = {"developer": "system"}  # templates know the older name only


def render(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The conversation as one text, ready for the assistant's turn.

    tokenizer: transformers' one, which carries the template. Raises: RequestError 400 where it has none, or where the
    template refuses the messages.
    """
    if tokenizer.chat_template is None:
        raise bad_request(
            "This model has no chat template, so messages cannot be put into its words: use /v1/completions, "
            "or start the worker with --chat-template.",
            "messages",
            "no_chat_template",
        )
    turns = [{"role": _ROLES.get(each.role, each.role), "content": each.text} for each in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise bad_request(f"The model's chat template refuses these messages: {error}.", "messages") from None
