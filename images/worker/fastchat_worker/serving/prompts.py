"""From a request to prompts: the tokens that a model continues, and how far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastchat.api import ChatCompletionRequest, CompletionRequest
from fastchat_worker.chat.template import Rendered, render
from fastchat_worker.errors import TooLongError, bad_request, context_length_exceeded, too_many_tokens
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.measure import MOST_TOKENS
from fastchat_worker.output.parser import ContentParser, OutputParser
from fastchat_worker.output.text import token_offsets
from fastchat_worker.serving.forms import grammar_of
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.sampling import generated_by

GenerationRequest = ChatCompletionRequest | CompletionRequest

_SHORT = 16  # tokens of a completion whose request has no length, as in OpenAI's reference
_MOST_LOGPROBS = 2**19  # of prompts in a response; each takes some hundred bytes until it is written


@dataclass(frozen=True)
class Prompts:
    """The tokens of each prompt, and how many may follow one of them at most.

    echo: the texts of the prompts where each choice is to begin with its own; else empty. offsets: where in these each
    token begins, in characters, where that is wanted. stops: texts that end a choice. end_tokens: those that end one
    beside the model's own. parser: makes the parser of one choice. visible: control tokens that it reads, with
    their text. grammar: what every choice must keep to, in llguidance's notation. repeats_logprobs: a stream tells all
    log probabilities once more at its end.
    """

    tokens: Sequence[list[int]]
    max_tokens: int
    echo: Sequence[str] = ()
    offsets: Sequence[list[int]] = ()
    stops: Sequence[str] = ()
    end_tokens: frozenset[int] = frozenset()
    parser: Callable[[], OutputParser] = ContentParser
    grammar: str | None = None
    visible: Mapping[int, str] = field(default_factory=dict)
    repeats_logprobs: bool = False


def chat_prompts(generator: Generator, request: ChatCompletionRequest) -> Prompts:
    """The one prompt of a conversation; without a limit its completion may take the rest of the context.

    Raises: RequestError 400 for what the template or the context does not take.
    """
    _check_number(generator, 1, generated_by(request))
    model = generator.language_model
    rendered = _rendered(generator, request)
    prompt, template = rendered.tokens(model), rendered.template
    room = _room(model, prompt, request.limit, "messages")
    prompts = Prompts([prompt], room, stops=[*request.stops, *template.stop_texts], end_tokens=template.stop_tokens)
    return _with_tools(prompts, generator, request, rendered.text)


def _with_tools(prompts: Prompts, generator: Generator, request: ChatCompletionRequest, prompt: str) -> Prompts:
    """With what reads the choices, and what they keep to."""
    answer, calling = grammar_of(request), generator.calling
    if calling is None:
        return replace(prompts, grammar=answer)
    return replace(
        prompts,
        grammar=calling.grammar(request, prompt, answer),
        parser=calling.parser(request, prompt),
        visible=calling.visible if calling.reads(request) else {},
    )


def _rendered(generator: Generator, request: ChatCompletionRequest) -> Rendered:
    calling, continued = generator.calling, bool(request.continue_final_message)
    return render(
        generator.chat_template,
        calling.messages(request) if calling else request.messages,
        style=calling.rendering.style if calling else None,
        tools=calling.tools(request) if calling else None,
        variables=_variables(request),
        add_generation_prompt=not continued if request.add_generation_prompt is None else request.add_generation_prompt,
        continue_final_message=continued,
    )


def _variables(request: ChatCompletionRequest) -> dict[str, Any]:
    """Those of the template; templates that do not know one leave it aside."""
    effort = request.reasoning_effort
    thinking = {"enable_thinking": False, "thinking": False} if effort == "none" else {}
    return {**({"reasoning_effort": effort} if effort else {}), **thinking, **(request.chat_template_kwargs or {})}


def completion_prompts(generator: Generator, request: CompletionRequest) -> Prompts:
    """The prompts of a request, given as text or as tokens.

    Raises: RequestError 400 for what the context does not take.
    """
    _check_number(generator, len(request.prompts), generated_by(request))
    model, special = generator.language_model, request.add_special_tokens is not False
    prompts, left = [], max(MOST_TOKENS, model.max_len)
    for each in request.prompts:
        if isinstance(each, str):
            tokens = model.tokens(each, "prompt", special=special)
        else:
            tokens = model.checked(each, "prompt")
        left -= len(tokens)
        if left < 0:
            raise too_many_tokens(MOST_TOKENS, "prompt")
        prompts.append(tokens)
    if not all(prompts):
        raise bad_request("The prompt is empty.", "prompt")
    wanted = _SHORT if request.max_tokens is None else request.max_tokens
    max_tokens = min(_room(model, prompt, wanted, "prompt") for prompt in prompts)
    echo, offsets = _echo(generator, request, prompts) if request.echo else ((), ())
    return Prompts(prompts, max_tokens, echo, offsets, request.stops, grammar=grammar_of(request))


def _echo(
    generator: Generator, request: CompletionRequest, prompts: Sequence[list[int]]
) -> tuple[list[str], list[list[int]]]:
    """The text of each prompt, as it was sent, and with log probabilities where in it each token begins.

    Raises: RequestError 400 for more log probabilities than a response may have.
    """
    texts = generator.texts_of(request)
    sent = [each if isinstance(each, str) else texts.decode(each) for each in request.prompts]
    if request.logprobs is None:
        return sent, []
    if sum(map(len, prompts)) * generated_by(request) * (request.logprobs + 1) > _MOST_LOGPROBS:
        message = f"The prompts have more than {_MOST_LOGPROBS} log probabilities in all; send fewer at a time."
        raise bad_request(message, "logprobs")
    special = request.add_special_tokens is not False
    offsets = []
    for each, text, tokens in zip(request.prompts, sent, prompts, strict=True):
        known = generator.language_model.offsets(text, special=special) if isinstance(each, str) else None
        offsets.append(known or token_offsets(texts, tokens, len(text)))
    return sent, offsets


def _check_number(generator: Generator, prompts: int, n: int) -> None:
    """Raises: RequestError 400, before any work is done, for more choices than one request may have."""
    most = generator.engine.max_per_request
    if prompts * n > most:
        message = (
            f"This request asks for {prompts * n} choices ({prompts} prompts, {n} for each); this worker takes "
            f"at most {most} in one request (--max-sequences-per-request): send several."
        )
        raise bad_request(message, "n" if n > 1 else "prompt", "too_many_sequences")


def _room(model: LanguageModel, prompt: Sequence[int], wanted: int | None, param: str) -> int:
    """Tokens that may follow a prompt. Raises: RequestError 400 where so many do not fit the context."""
    room = model.max_len - len(prompt)
    if room < 0 or (room == 0 and wanted != 0):
        raise TooLongError(model.max_len, len(prompt), "your prompt has", param)
    if wanted is not None and wanted > room:
        message = (
            f"you asked for {len(prompt) + wanted} tokens: {len(prompt)} in the {param}, {wanted} in the completion"
        )
        raise context_length_exceeded(model.max_len, message, param)
    return room if wanted is None else wanted
