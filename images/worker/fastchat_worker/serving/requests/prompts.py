"""The prompt of a conversation that comes by another API than chat's."""

from collections.abc import Callable
from dataclasses import replace

from fastchat.api import ChatCompletionRequest
from fastchat_worker.errors import RequestError, TooLongError
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.prompts import Prompts, chat_prompts
from fastchat_worker.serving.requests.turns import plain, without_system


def agent_prompts(generator: Generator, request: ChatCompletionRequest) -> Prompts:
    """Like `chat_prompts`, but the longest answer is an upper bound: agents ask for more than a context has.

    Raises: RequestError 400 for what the template or the context does not take.
    """
    prompts = _templated(lambda chat: chat_prompts(generator, chat), request)
    longest = min(prompts.max_tokens, request.limit or prompts.max_tokens)
    return replace(prompts, max_tokens=longest, repeats_logprobs=True)


def count_tokens(generator: Generator, request: ChatCompletionRequest) -> int:
    """Tokens of the prompt; where it is too long for the context, a number that it has at least.

    Raises: RequestError 400 for what the template does not take.
    """
    try:
        return len(_templated(lambda chat: chat_prompts(generator, chat), request).tokens[0])
    except TooLongError as error:
        return error.at_least


def _templated(prompts_of: Callable[[ChatCompletionRequest], Prompts], request: ChatCompletionRequest) -> Prompts:
    """Tried again with plainer turns where the template refuses these: agents have the system speak in between."""
    unbounded = request.model_copy(update={"max_tokens": None, "max_completion_tokens": None})
    try:
        return prompts_of(unbounded)
    except RequestError as error:
        if not _is_of_template(error):
            raise
        refused = error
    for plainer in (plain(request.messages), without_system(request.messages)):
        try:
            return prompts_of(unbounded.model_copy(update={"messages": plainer}))
        except RequestError as error:
            if not _is_of_template(error):
                raise
    raise refused


def _is_of_template(error: RequestError) -> bool:
    return (error.status, error.error.param, error.error.code) == (400, "messages", "invalid_value")
