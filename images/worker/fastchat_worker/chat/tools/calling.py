"""How one model is told its tools and how its messages are read; found out once, when it is loaded."""

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers.utils.chat_parsing.response_templates import ResponseTemplate

from fastchat.api import ChatCompletionRequest, Message
from fastchat.api.tools import Function, ToolUse
from fastchat_worker.chat import reasoning as reasonings
from fastchat_worker.chat.reasoning import Reasoning
from fastchat_worker.chat.template import ChatTemplate
from fastchat_worker.chat.tools import forcing, generic, message
from fastchat_worker.chat.tools.declared import DeclaredParser, declared, marks
from fastchat_worker.chat.tools.forms import families
from fastchat_worker.chat.tools.forms.any_of import AnyOf
from fastchat_worker.chat.tools.forms.channels import FunctionaryCalls, HarmonyCalls
from fastchat_worker.chat.tools.forms.form import Form
from fastchat_worker.chat.tools.forms.writing import Writing
from fastchat_worker.chat.tools.parser import MessageParser
from fastchat_worker.chat.tools.trial import Rendering, tried
from fastchat_worker.errors import LoadError
from fastchat_worker.output.parser import ContentParser, OutputParser

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calling:
    """rendering: what the template does with tools. control: the model's control tokens by their text."""

    form: Form
    reasoning: Reasoning | None
    rendering: Rendering
    drops_system: bool = False
    control: Mapping[str, int] = field(default_factory=dict)
    declared: ResponseTemplate | None = None
    """How messages are read that no grammar keeps to a form, where the tokenizer says so and no family is told."""

    @property
    def visible(self) -> Mapping[int, str]:
        """Control tokens that mean something to the parser, which the text of a choice leaves out otherwise."""
        own = [*_strings(self.form), *self._reasoning_marks]
        described = marks(self.declared) if self.declared else ""
        return {
            token: text
            for text, token in self.control.items()
            if any(text in mark for mark in own) or text in described or re.escape(text) in described
        }

    @property
    def _reasoning_marks(self) -> tuple[str, ...]:
        return (self.reasoning.opening, self.reasoning.closing) if self.reasoning else ()

    @property
    def _channels(self) -> bool:
        """Messages are read by the form even without tools."""
        return isinstance(self.form, HarmonyCalls | FunctionaryCalls)

    def messages(self, request: ChatCompletionRequest) -> Sequence[Message]:
        """The conversation as the template can write it."""
        if self.rendering.tools or not (
            request.offered or any(each.calls or each.role in ("tool", "function") for each in request.messages)
        ):
            return request.messages
        return generic.in_words(request.messages, request, in_system=not self.drops_system)

    def tools(self, use: ToolUse) -> list[dict[str, Any]] | None:
        """The functions as the template reads them. None: it is given none."""
        if not self.rendering.tools or not use.offered:
            return None
        return [{"type": "function", "function": _declared(each)} for each in use.offered]

    def reads(self, request: ToolUse) -> bool:
        """Whether a choice may be more than content."""
        return bool(request.offered) or self._channels or self.reasoning is not None or self.declared is not None

    def parser(self, request: ChatCompletionRequest, prompt: str) -> Callable[[], OutputParser]:
        """Makes the parser of one choice that follows this prompt."""
        if not self.reads(request):
            return ContentParser
        form = self.form if request.offered or self._channels else None
        functions = {each.name: each for each in request.offered}
        one = request.names_one or request.parallel_tool_calls is False
        shows = request.include_reasoning is not False
        begun = self._begun(request, prompt)

        def parser() -> OutputParser:
            new = message.Message(functions, 1 if one else None, reasons=shows)
            if self.declared and not _kept(request):
                return DeclaredParser(self.declared, new, prompt, request.offered)
            return MessageParser(new, form, self.reasoning, begun=begun)

        return parser

    def grammar(self, request: ChatCompletionRequest, prompt: str, answer: str | None) -> str | None:
        """What a choice has to keep to. answer: a grammar for its content, which calls do not keep to.

        Reasoning stands before either.
        """
        offered, strict = request.offered, any(each.strict for each in request.offered)
        if not ((request.must_call and offered) or strict or answer is not None):
            return None
        schemas = [each.name for each in offered if each.strict or request.must_call]
        writing = Writing(self.control, schemas)
        start, refers = self._start(request, answer, writing)
        lead = forcing.lead(
            self.form if self._channels else None, self.reasoning, writing, begun=self._begun(request, prompt)
        )
        if start == "@answer" and not lead:
            return answer
        return forcing.with_answer(f"{lead} {start}", answer if refers else None, writing)

    def _start(self, use: ToolUse, answer: str | None, writing: Writing) -> tuple[str, bool]:
        """What follows the reasoning, and whether it refers to `answer`."""
        if use.offered and use.must_call:
            return forcing.forced(self.form, use, writing), False
        if answer is None:
            return forcing.chosen(self.form, use, writing), False
        text = "@answer"
        if isinstance(self.form, HarmonyCalls):
            text = f"{writing.text('<|channel|>final<|message|>')} @answer"
        elif isinstance(self.form, FunctionaryCalls):
            text = '"all\\n" @answer'
        return (f"({forcing.forced(self.form, use, writing)} | {text})" if use.offered else text), True

    def _begun(self, request: ChatCompletionRequest, prompt: str) -> bool:
        continued = request.messages[-1].text if request.continue_final_message else ""
        return self.reasoning is not None and self.reasoning.begun(prompt, continued)


def find(template: ChatTemplate, tokenizer: Any, option: str | None) -> Calling:
    """By what the template says, or by `--tool-call-parser`; says in the log what was found."""
    added = tokenizer.added_tokens_decoder.items()
    control = {str(each): token for token, each in added if each.special}
    texts = "\n".join(map(str, tokenizer.added_tokens_decoder.values()))
    rendering = tried(template)
    form, why = _chosen(option, template.program_for_tools.source, texts, rendering)
    reasoning = None if isinstance(form, HarmonyCalls) else reasonings.find(template.program.source, control)
    logger.info("calls of tools: %s (%s)", form.name, why)
    if reasoning:
        logger.info("reasoning: between %s and %s", reasoning.opening, reasoning.closing)
    described = None if option or families.find(template.program_for_tools.source) else declared(tokenizer)
    if described:
        logger.info("messages are read as the tokenizer's response_template says; forced calls in the form above")
    return Calling(form, reasoning, rendering, template.drops_system, control, described)


def _chosen(option: str | None, template: str, tokens: str, rendering: Rendering) -> tuple[Form, str]:
    """The form, and why. A template that writes calls and no tools leaves it to the system's text to tell the form."""
    told = _named(option) if option else families.find(template)
    by = "as --tool-call-parser says" if option else "by the chat template"
    if told and (rendering.tools or isinstance(told, HarmonyCalls | FunctionaryCalls)):
        return told, by
    if told:
        return AnyOf(families.GENERIC, told), f"{by}, which is not given tools: the system's text tells them"
    if rendering.tools and (known := families.find(tokens)):
        return known, "by the control tokens"
    if rendering.tools:
        return families.GENERIC, "the chat template does not tell in which form its tools are called"
    return families.GENERIC, "the chat template knows no tools: the system's text tells them"


def check_option(option: str | None) -> None:
    """Raises: LoadError for a `--tool-call-parser` that there is not."""
    if option:
        _named(option)


def _named(option: str) -> Form:
    try:
        return families.FORMS[option]
    except KeyError:
        known = ", ".join(sorted(families.FORMS))
        raise LoadError(f"--tool-call-parser {option}: there is none of that name; known are {known}") from None


def _kept(use: ToolUse) -> bool:
    """A grammar keeps the calls to a form."""
    return bool(use.offered) and (use.must_call or any(each.strict for each in use.offered))


def _declared(function: Function) -> dict[str, Any]:
    """As OpenAI's clients write it; many templates fail without a description or parameters."""
    return {
        "name": function.name,
        "description": function.description or "",
        "parameters": function.parameters or {"type": "object", "properties": {}},
    }


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _strings(each)
    elif dataclasses.is_dataclass(value):
        yield from _strings(tuple(vars(value).values()))
