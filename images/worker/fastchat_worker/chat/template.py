"""Conversations through a model's chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastchat.api import Message
from fastchat_worker.chat.control import ControlText, Marked, unmarked
from fastchat_worker.chat.jinja import ChatProgram, ChatTemplateError, RefusedError
from fastchat_worker.chat.turns import Turn, TurnStyle, role_of, turns
from fastchat_worker.errors import RequestError, bad_request
from fastchat_worker.model.language_model import LanguageModel

_OURS = frozenset(
    ("messages", "add_generation_prompt", "continue_final_message", "tools", "documents", "tokenize", "chat_template")
)
_END = "\U000f0002"  # private use: no language and no tokenizer has it


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """How a model puts conversations into words; chosen once, when it is loaded.

    program, program_for_tools: the template, and the one where tools are given. variables: what both read beside the
    conversation, such as bos_token. wants_parts: it reads the content of a turn as a list of parts. drops_system: it
    leaves the system's text out without a word. prefix: tokens that stand before what it writes. control: finds control
    text in messages; None: it is read as tokens. stop_texts, stop_tokens: what ends an answer beside the model's own
    end tokens. about: which template it is and why, for the log.
    """

    program: ChatProgram
    program_for_tools: ChatProgram
    variables: Mapping[str, Any] = field(default_factory=dict)
    wants_parts: bool = False
    drops_system: bool = False
    prefix: tuple[int, ...] = ()
    control: ControlText | None = None
    stop_texts: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    about: str = ""

    def write(self, turns: Sequence[Turn], **variables: Any) -> str:
        """What the template makes of these turns. Raises: ChatTemplateError."""
        program = self.program_for_tools if variables.get("tools") else self.program
        return program.render({"tools": None, "documents": None, **self.variables, **variables, "messages": turns})


@dataclass(frozen=True)
class Rendered:
    """A conversation as text, around which control text of the messages there are marks, if there is any.

    marks: the characters before and after it.
    """

    written: str
    template: ChatTemplate
    marks: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """Without marks."""
        return unmarked(self.written, self.marks) if self.marks else self.written

    def tokens(self, model: LanguageModel) -> list[int]:
        """The prompt. Raises: TooLongError where it cannot fit, without spending the time to split all of it."""
        if self.marks and self.template.control:
            model.refuse_hopeless(self.written, "messages")
            ids = model.checked(self.template.control.split(self.written, self.marks), "messages")
        else:
            ids = model.rendered_tokens(self.written, "messages")
        prefix = self.template.prefix
        return ids if tuple(ids[: len(prefix)]) == prefix else [*prefix, *ids]


def render(
    template: ChatTemplate | None,
    messages: Sequence[Message],
    *,
    style: TurnStyle | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    variables: Mapping[str, Any] | None = None,
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
) -> Rendered:
    """The conversation as one text, which ends where the assistant's turn begins.

    style: what the template wants of turns that call functions. tools: as JSON has them. variables: further ones for
    the template, `chat_template_kwargs` of a request.
    continue_final_message: the text ends within the last message instead, which the model is to continue.
    Raises: RequestError 400 where the model has no template, or where the template does not take the conversation.
    """
    if template is None:
        raise bad_request(
            "This model has no chat template, so messages cannot be put into its words: use /v1/completions, "
            "or start the worker with --chat-template.",
            "messages",
            "no_chat_template",
        )
    own = dict(variables or {})
    if reserved := sorted(_OURS & own.keys()):
        raise bad_request(f"{reserved[0]} is not for chat_template_kwargs.", "chat_template_kwargs")
    if continue_final_message and add_generation_prompt:
        raise bad_request(
            "continue_final_message needs add_generation_prompt false: either the last message goes on, or a new one "
            "begins.",
            "continue_final_message",
        )
    asked = {"tools": list(tools) if tools else None, **own}
    return _write(template, _turns(template, messages, style), asked, add_generation_prompt, continue_final_message)


def _turns(template: ChatTemplate, messages: Sequence[Message], style: TurnStyle | None) -> list[Turn]:
    """The messages as templates know them. Raises: RequestError 400 for a text that the template would leave out."""
    for index, message in enumerate(messages):
        if template.drops_system and role_of(message) == "system":
            raise bad_request(
                f"The model's chat template leaves {message.role} messages out: put messages[{index}] into the first "
                "user message.",
                "messages",
            )
    return turns(messages, style or TurnStyle(template.wants_parts))


def _write(
    template: ChatTemplate, turns: list[Turn], asked: dict[str, Any], generation_prompt: bool, continued: bool
) -> Rendered:
    marked: Marked | None = template.control.marked(turns, asked) if template.control else None
    if marked:
        turns, asked = marked.turns, marked.asked
    if continued:
        turns = [*turns[:-1], _open_ended(turns[-1])]
    try:
        text = template.write(turns, add_generation_prompt=generation_prompt, **asked)
    except RefusedError as error:
        raise bad_request(f"The model's chat template refuses these messages: {error}.", "messages") from None
    except ChatTemplateError as error:
        raise bad_request(f"The model's chat template fails on these messages: {error}.", "messages") from None
    if continued:
        text = _cut(text)
    return Rendered(text, template, marked.marks if marked else None)


def _open_ended(turn: Turn) -> Turn:
    """The turn with a sign at the end of its text. Raises: RequestError 400 where it has none."""
    content = turn.get("content")
    if isinstance(content, str):
        return {**turn, "content": f"{content}{_END} "}
    if isinstance(content, list) and content and isinstance(content[-1].get("text"), str):
        return {**turn, "content": [*content[:-1], {**content[-1], "text": f"{content[-1]['text']}{_END} "}]}
    raise _not_continued()


def _cut(text: str) -> str:
    """What stands before the sign; without blanks at its end where the template cuts them off a message."""
    before, sign, after = text.rpartition(_END)
    if not sign:
        raise _not_continued()
    return before if after.startswith(" ") else before.rstrip()


def _not_continued() -> RequestError:
    return bad_request("The last message cannot be continued: the chat template changes its text.", "messages")
