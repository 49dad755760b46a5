"""A conversation: its turns, its model, its settings; no terminal and no server."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fastchat.cli.errors import CommandError


@dataclass
class Conversation:
    """What is sent with the next request."""

    model: str = ""
    system: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    turns: list[dict[str, str]] = field(default_factory=list)
    """Each with `role` (user, assistant) and `content`; users' and the model's turns alternate."""

    @property
    def messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.turns]

    def ask(self, text: str) -> None:
        self.turns.append({"role": "user", "content": text})

    def reply(self, text: str) -> None:
        """The model's turn, as far as it came; without a word of it the user's turn goes as well."""
        if text:
            self.turns.append({"role": "assistant", "content": text})
        else:
            self.turns.pop()

    def undo(self) -> str | None:
        """Take back the last question and its answer. Returns the question; None: there is none."""
        while self.turns:
            turn = self.turns.pop()
            if turn["role"] == "user":
                return turn["content"]
        return None

    def set(self, text: str) -> None:
        """Set a parameter from `name=value`, as JSON where it is some; without a value it is no longer sent.

        Raises:
            CommandError: a name that no request has, or one that the conversation has itself.
        """
        name, is_assignment, value = (part.strip() for part in text.partition("="))
        if not is_assignment:
            raise CommandError(f"{text!r} sets nothing: it looks like temperature=0.7")
        _check_name(name)
        if value:
            self.settings[name] = _value(value)
        else:
            self.settings.pop(name, None)

    def save(self, path: Path) -> None:
        """Raises CommandError."""
        said = {"model": self.model, "system": self.system, "settings": self.settings, "messages": self.turns}
        try:
            path.write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def loaded(cls, path: Path) -> Self:
        """What `save` wrote; raises CommandError where it is something else."""
        try:
            said = json.loads(path.read_text())
            turns = [{"role": turn["role"], "content": turn["content"]} for turn in said["messages"]]
            found = cls(said["model"], said["system"], said["settings"], turns)
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, LookupError, TypeError):
            raise CommandError(f"{path} holds no conversation: /save writes one") from None
        found.check(path)
        return found

    def check(self, path: Path) -> None:
        """Raises CommandError where the parts of a loaded conversation are not of its types."""
        texts = [self.model, self.system, *(text for turn in self.turns for text in turn.values())]
        roles = {turn["role"] for turn in self.turns}
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.settings, dict):
            raise CommandError(f"{path} holds no conversation: /save writes one")
        if not roles <= {"user", "assistant"}:
            raise CommandError(
                f"{path} has turns of {', '.join(sorted(roles))}: a conversation's are user and assistant"
            )


def _check_name(name: str) -> None:
    import difflib

    from fastchat.api.chat import ChatCompletionRequest

    own = {"model", "messages", "stream", "stream_options", "n"}
    known = ChatCompletionRequest.model_fields.keys() - own
    if name in own:
        raise CommandError(f"{name!r} is the conversation's own; /set changes others, such as temperature")
    if name not in known:
        like = difflib.get_close_matches(name, known, 1)
        raise CommandError(f"there is no parameter {name!r}" + (f"; do you mean {like[0]}?" if like else ""))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
