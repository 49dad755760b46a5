"""How a request wants its tokens chosen, as the engine and the output understand it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from fastchat.api import ChatCompletionRequest, CompletionRequest
from fastchat_worker.engine.sequence import Wanted
from fastchat_worker.errors import bad_request
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.sampling.parameters import Sampling

_Request = ChatCompletionRequest | CompletionRequest


class Limits(Protocol):
    """What is known of the prompts: how many tokens may follow, and what ends a choice."""

    @property
    def max_tokens(self) -> int: ...

    @property
    def end_tokens(self) -> frozenset[int]:
        """Those beside the model's own."""

    @property
    def grammar(self) -> str | None: ...


@dataclass(frozen=True)
class Parameters:
    """What the sequences of a request share.

    sampling: of the first choice. end_tokens: end a choice. wanted: log probabilities that the response needs.
    generated: choices made of each prompt, of which `n` are returned.
    """

    sampling: Sampling
    end_tokens: frozenset[int]
    wanted: Wanted
    n: int
    generated: int

    def of_choice(self, index: int, unseeded: int) -> Sampling:
        """The sampling of one of the choices of a prompt, each with its own seed. unseeded: for a request without."""
        seed = self.sampling.seed
        return replace(self.sampling, seed=unseeded if seed is None else seed + index)


def parameters_of(request: _Request, model: LanguageModel, limits: Limits) -> Parameters:
    """Raises: RequestError 400 for tokens that the model does not have, and for more `min_tokens` than `max_tokens`."""
    sampling, max_tokens = sampling_of(request), limits.max_tokens
    _check_known(model, sampling.logit_bias, "logit_bias")
    _check_known(model, request.stop_token_ids or (), "stop_token_ids")
    if sampling.min_tokens > max_tokens:
        message = f"'min_tokens' is {sampling.min_tokens}, but the completion may have {max_tokens} tokens at most."
        raise bad_request(message, "min_tokens")
    if limits.grammar is not None:  # it says where a text may end
        sampling = replace(sampling, min_tokens=0)
    own = frozenset[int]() if request.ignore_eos else model.end_tokens | limits.end_tokens
    n = request.n or 1
    return Parameters(sampling, own.union(request.stop_token_ids or ()), wanted_by(request), n, generated_by(request))


def generated_by(request: _Request) -> int:
    """Choices made of each prompt."""
    best_of = request.best_of if isinstance(request, CompletionRequest) else None
    return best_of or request.n or 1


def wanted_by(request: _Request) -> Wanted:
    """The log probabilities that a request needs; to choose the best of several takes those of their tokens."""
    if isinstance(request, ChatCompletionRequest):
        return Wanted((request.top_logprobs or 0) if request.logprobs else None)
    ranked = 0 if generated_by(request) > (request.n or 1) else None
    tokens = ranked if request.logprobs is None else request.logprobs
    return Wanted(tokens, request.logprobs if request.echo else None)


def sampling_of(request: _Request) -> Sampling:
    """The request's sampling, null fields at OpenAI's defaults."""
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(request.top_k or 0, 0),
        min_p=request.min_p or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        min_tokens=request.min_tokens or 0,
        logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
        seed=request.seed,
    )


def _check_known(model: LanguageModel, tokens: Iterable[int], param: str) -> None:
    unknown = next((token for token in tokens if token >= model.vocabulary), None)
    if unknown is not None:
        reason = f"Token {unknown} of '{param}' is not in the model's vocabulary of {model.vocabulary} tokens."
        raise bad_request(reason, param)
