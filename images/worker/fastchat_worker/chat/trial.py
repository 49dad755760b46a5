"""A trial conversation when a model is loaded: what a chat template cannot do is found out then, not by a user."""

import logging
from dataclasses import replace

from fastchat_worker.chat.jinja import ChatTemplateError, RefusedError
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.turns import Turn, as_parts
from fastchat_worker.errors import LoadError

logger = logging.getLogger(__name__)

_USER, _SYSTEM = "Trial-of-the-user", "Trial-of-the-system"


def tried(template: ChatTemplate) -> ChatTemplate:
    """The template with what a trial says of it: whether it wants parts, and whether it drops the system's text.

    Raises: LoadError where it is broken, or leaves the text of users out.
    """
    texts, parts = template, replace(template, wants_parts=True)
    wrong: ChatTemplateError | None = None
    for candidate in (texts, parts):
        try:
            if _USER in _write(candidate, ("user", _USER)):
                return replace(candidate, drops_system=_drops_system(candidate))
        except RefusedError as error:
            logger.warning("the chat template refuses a conversation of one user message: %s", error)
            return candidate
        except ChatTemplateError as error:
            wrong = wrong or error
    if wrong:
        raise LoadError(f"the chat template ({template.about}) fails: {wrong}; choose another with --chat-template")
    raise LoadError(
        f"the chat template ({template.about}) leaves out what users say; choose another with --chat-template"
    )


def _drops_system(template: ChatTemplate) -> bool:
    try:
        return _SYSTEM not in _write(template, ("system", _SYSTEM), ("user", _USER))
    except ChatTemplateError:
        return False  # it says so itself, with the words that a request will get


def _write(template: ChatTemplate, *turns: tuple[str, str]) -> str:
    messages: list[Turn] = [
        {"role": role, "content": as_parts(text) if template.wants_parts else text} for role, text in turns
    ]
    return template.write(messages, add_generation_prompt=True)
