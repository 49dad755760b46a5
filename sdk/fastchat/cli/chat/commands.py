"""The /commands of a conversation: each changes it, and says a line."""

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastchat.cli.chat.conversation import Conversation
from fastchat.cli.errors import CommandError

HELP = {
    "/help": "this list",
    "/model [NAME]": "which models there are, or go on with another one",
    "/system [TEXT]": "the system prompt, or another one; /system - for none",
    "/set [NAME=VALUE]": "parameters, such as temperature=0.7; without a value it is no longer sent",
    "/retry": "answer the last question anew",
    "/undo": "take back the last question and its answer",
    "/save FILE": "write the conversation into a file",
    "/load FILE": "go on with one that was written",
    "/clear": "begin anew; model, system prompt and parameters stay",
    "/exit": "end, as Ctrl-D does",
}


@dataclass(frozen=True)
class Outcome:
    """What a command has come to."""

    text: str = ""
    """What to tell."""
    question: str | None = None
    """To be asked now."""
    ends: bool = False


def execute(line: str, conversation: Conversation, served: Callable[[], list[str]]) -> Outcome:
    """Do what a line that begins with a slash says. `served`: names of the server's models.

    Raises:
        CommandError: there is no such command, or it cannot be done.
    """
    word, _, rest = line.partition(" ")
    name, rest = word[1:], rest.strip()
    if name == "model":
        return _model(rest, conversation, served())
    if name in ("save", "load"):
        return _file(name, rest, conversation)
    known: dict[str, Callable[[str, Conversation], Outcome]] = {
        "help": _help,
        "system": _system,
        "set": _set,
        "retry": _retry,
        "undo": _undo,
        "clear": _clear,
        "exit": _exit,
        "quit": _exit,
        "bye": _exit,
    }
    if name not in known:
        like = difflib.get_close_matches(name, [*known, "model", "save", "load"], 1)
        hint = f"do you mean /{like[0]}?" if like else "/help lists them; a space before it sends it as text"
        raise CommandError(f"there is no command {word}; {hint}")
    return known[name](rest, conversation)


def _help(_rest: str, _conversation: Conversation) -> Outcome:
    width = max(map(len, HELP))
    return Outcome("\n".join(f"{usage.ljust(width)}  {about}" for usage, about in HELP.items()))


def _model(rest: str, conversation: Conversation, served: list[str]) -> Outcome:
    if not rest:
        return Outcome("\n".join(f"{'*' if name == conversation.model else ' '} {name}" for name in served))
    if rest not in served:
        raise CommandError(f"no model {rest!r} is served; there are {', '.join(served) or 'none'}")
    conversation.model = rest
    return Outcome(f"now with {rest}")


def _system(rest: str, conversation: Conversation) -> Outcome:
    if not rest:
        return Outcome(conversation.system or "no system prompt")
    conversation.system = "" if rest == "-" else rest
    return Outcome("no system prompt from now on" if rest == "-" else "the next answer has this system prompt")


def _set(rest: str, conversation: Conversation) -> Outcome:
    if rest:
        conversation.set(rest)
    settings = (f"{name}={json.dumps(value)}" for name, value in conversation.settings.items())
    return Outcome("\n".join(settings) or "no parameters: the server's own are taken")


def _retry(_rest: str, conversation: Conversation) -> Outcome:
    question = conversation.undo()
    if question is None:
        raise CommandError("nothing was asked yet")
    return Outcome(question=question)


def _undo(_rest: str, conversation: Conversation) -> Outcome:
    question = conversation.undo()
    if question is None:
        raise CommandError("nothing was asked yet")
    return Outcome(f"taken back: {question}")


def _clear(_rest: str, conversation: Conversation) -> Outcome:
    conversation.turns.clear()
    return Outcome("a new conversation")


def _exit(_rest: str, _conversation: Conversation) -> Outcome:
    return Outcome(ends=True)


def _file(name: str, rest: str, conversation: Conversation) -> Outcome:
    if not rest:
        raise CommandError(f"/{name} needs the name of a file")
    path = Path(rest).expanduser()
    if name == "save":
        conversation.save(path)
        return Outcome(f"written to {path}")
    found = Conversation.loaded(path)
    conversation.__dict__.update(found.__dict__)
    return Outcome(f"{len(found.turns)} turns with {found.model}")
