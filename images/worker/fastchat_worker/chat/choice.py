"""Which chat template a model gets, and why."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fastchat_worker.chat.control import ControlText
from fastchat_worker.chat.conversations.conversation import Conversation
from fastchat_worker.chat.conversations.names import by_architecture, by_name
from fastchat_worker.chat.conversations.registry import CONVERSATIONS
from fastchat_worker.chat.jinja import BrokenError, ChatProgram
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.trial import tried
from fastchat_worker.errors import LoadError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """What is known of a model: the names that it goes by, the most telling first, its architecture, its folder."""

    names: Sequence[str]
    architecture: str
    folder: Path
    gguf: str | None = None


def choose(option: str | None, tokenizer: Any, known: Known, *, control_text: bool) -> ChatTemplate | None:
    """`--chat-template`, else the model's own, else one that ships for its name or architecture, else none.

    control_text: control text in messages stays text.
    Raises: LoadError for a template that cannot be used.
    """
    chosen = _of_option(option, tokenizer) or _own(tokenizer, known) or _shipped(tokenizer, known)
    if chosen is None:
        logger.info("no chat template: the model has none, and its name tells none that ships; chats are refused")
        return None
    logger.info("chat template: %s", chosen.about)
    if control_text:
        sources = (chosen.program.source, chosen.program_for_tools.source)
        chosen = replace(chosen, control=ControlText(tokenizer, sources))
    return tried(chosen)


def check_option(option: str | None) -> None:
    """Raises: LoadError for a `--chat-template` that is neither a file nor the name of a shipped one, or is none."""
    if option and not (option in CONVERSATIONS and not Path(option).exists()):
        _program(_read(option), f"--chat-template {option}")


def _of_option(option: str | None, tokenizer: Any) -> ChatTemplate | None:
    if not option:
        return None
    if option in CONVERSATIONS and not Path(option).exists():
        return _of_conversation(CONVERSATIONS[option], tokenizer, "as --chat-template says")
    about = f"--chat-template {option}"
    return _of_texts({"default": _read(option)}, tokenizer, about, {"default": about})


@cache  # once, for it may be a pipe
def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path, CONVERSATIONS, 1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise LoadError(
            f"--chat-template {path}: there is no such file, and none of that name ships{meant} "
            "(docs/models.md lists them)"
        ) from None
    except UnicodeDecodeError:
        raise LoadError(f"--chat-template {path}: it is not text in UTF-8") from None
    except OSError as error:
        raise LoadError(f"--chat-template {path}: {error.strerror}") from None


def _own(tokenizer: Any, known: Known) -> ChatTemplate | None:
    """The template of the tokenizer; of several named ones `default`, and `tool_use` where tools are given."""
    own = tokenizer.chat_template
    if not own:
        return None
    texts = own if isinstance(own, dict) else {"default": own}
    if "default" not in texts and len(texts) > 1:
        raise LoadError(
            f"the model's chat templates are named {', '.join(sorted(texts))}, and none is the default: choose with "
            "--chat-template"
        )
    files = {name: _file(known, name, several=len(texts) > 1) for name in texts}
    return _of_texts(texts, tokenizer, f"the model's own ({next(iter(files.values()))})", files)


def _file(known: Known, name: str, *, several: bool) -> str:
    """Where a template of the model stands, for people who look for it."""
    if known.gguf:
        return f"{known.gguf}, tokenizer.chat_template"
    for file in ("chat_template.jinja" if name == "default" else "", f"additional_chat_templates/{name}.jinja"):
        if file and (known.folder / file).is_file():
            return file
    return f"tokenizer_config.json, chat_template{f' {name}' if several else ''}"


def _of_texts(texts: Mapping[str, str], tokenizer: Any, about: str, files: Mapping[str, str]) -> ChatTemplate:
    name = "default" if "default" in texts else next(iter(texts))
    tools = "tool_use" if "tool_use" in texts else name
    programs = {each: _program(texts[each], files[each]) for each in (name, tools)}
    return ChatTemplate(
        program=programs[name],
        program_for_tools=programs[tools],
        variables=dict(tokenizer.special_tokens_map),
        about=about,
    )


def _program(source: str, file: str) -> ChatProgram:
    try:
        return ChatProgram(source)
    except BrokenError as error:
        raise LoadError(
            f"the chat template in {file} has an error: {error}; correct it or choose another with --chat-template"
        ) from None


def _shipped(tokenizer: Any, known: Known) -> ChatTemplate | None:
    for name in filter(None, known.names):
        if conversation := by_name(name):
            return _of_conversation(CONVERSATIONS[conversation], tokenizer, f"for models named like {name}")
    if conversation := by_architecture(known.architecture):
        why = f"for models of the architecture {known.architecture}"
        return _of_conversation(CONVERSATIONS[conversation], tokenizer, why)
    return None


def _of_conversation(conversation: Conversation, tokenizer: Any, why: str) -> ChatTemplate:
    program = ChatProgram(conversation.jinja)
    vocabulary = tokenizer.get_vocab()
    return ChatTemplate(
        program=program,
        program_for_tools=program,
        variables=dict(tokenizer.special_tokens_map),
        prefix=_prefix(tokenizer),
        stop_texts=(*conversation.stop_texts, *_end_in_words(conversation, tokenizer)),
        stop_tokens=frozenset(vocabulary[text] for text in conversation.stop_tokens if text in vocabulary),
        about=f"{conversation.name}, which ships, {why}",
    )


def _end_in_words(conversation: Conversation, tokenizer: Any) -> tuple[str, ...]:
    """What stands after an answer and ends it, where it is text to this tokenizer like any other: it would show."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    end = conversation.assistant[1].strip()
    return (end,) if end in conversation.stop_tokens and end not in special else ()


def _prefix(tokenizer: Any) -> tuple[int, ...]:
    """The tokens that the tokenizer puts before a text: those that shipped conversations leave to it."""
    whole = tokenizer("a")["input_ids"]
    text = tokenizer("a", add_special_tokens=False)["input_ids"]
    before = next((at for at in range(len(whole)) if whole[at : at + len(text)] == text), 0)
    return tuple(whole[:before])
