"""`/tokenize` and `/detokenize`: what a model's tokenizer makes of texts and of tokens."""

from typing import Any

from fastchat.api import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from fastchat_worker.errors import bad_request
from fastchat_worker.serving.models import ServedModel, ServedModels
from fastchat_worker.serving.prompts import chat_prompts

_LONGEST = 2**20
"""Characters of a text; it may have more tokens than the model takes, for that is what some ask about."""


def tokenize(models: ServedModels, wanted: TokenizeRequest) -> TokenizeResponse:
    """The tokens of a text, or of a conversation as a chat with the model has it.

    Raises: RequestError 404 or 503 where the model is not served, 400 for what it cannot read or what is too long.
    """
    model, _ = models.find(wanted.model)
    tokens = _tokens(models, model, wanted)
    response = TokenizeResponse(count=len(tokens), max_model_len=model.max_len, tokens=tokens)
    if wanted.return_token_strs:
        response.token_strs = model.encoder.tokenizer.convert_ids_to_tokens(tokens)
    return response


def _tokens(models: ServedModels, model: ServedModel, wanted: TokenizeRequest) -> list[int]:
    if wanted.messages is not None:
        return chat_prompts(models.find_generator(wanted.model)[0], wanted.chat).tokens[0]
    text = wanted.prompt or ""
    if len(text) > _LONGEST:
        raise bad_request(f"The prompt has {len(text)} characters, more than {_LONGEST}: send it in parts.", "prompt")
    return model.encoder.split(text, special=wanted.add_special_tokens is not False)


def detokenize(models: ServedModels, wanted: DetokenizeRequest) -> DetokenizeResponse:
    """The text of tokens, special ones included.

    Raises: RequestError 404 or 503 where the model is not served, 400 for a token that it does not have.
    """
    model, _ = models.find(wanted.model)
    tokenizer: Any = model.encoder.tokenizer
    most = len(tokenizer)
    unknown = next((at for at, token in enumerate(wanted.tokens) if token >= most), None)
    if unknown is not None:
        message = f"tokens[{unknown}] is {wanted.tokens[unknown]}, and the tokenizer has {most} tokens."
        raise bad_request(message, f"tokens[{unknown}]")
    return DetokenizeResponse(prompt=tokenizer.decode(wanted.tokens, skip_special_tokens=False))
