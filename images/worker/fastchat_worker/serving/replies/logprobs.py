"""Log probabilities in the shapes of chat and of completions."""

from collections.abc import Iterable, Sequence

from fastchat.api.logprobs import ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob
from fastchat_worker.output.logprobs import Likely, LoggedToken


def chat_logprobs(tokens: Iterable[LoggedToken]) -> ChatLogprobs:
    """One entry for each token of the text; the token that ends a turn is no part of it."""
    content = [
        TokenLogprob(
            token=each.text,
            logprob=each.logprob or 0.0,
            bytes=list(each.raw),
            top_logprobs=[_top_logprob(likely) for likely in each.top],
        )
        for each in tokens
        if not each.ends
    ]
    return ChatLogprobs(content=content, refusal=None)


def completion_logprobs(prompt: Sequence[LoggedToken], tokens: Sequence[LoggedToken], begin: int) -> CompletionLogprobs:
    """One entry for each token of prompt and completion, the end token included. begin: where the completion begins."""
    return CompletionLogprobs(
        tokens=[_name(each.text, each.raw) for each in (*prompt, *tokens)],
        token_logprobs=[each.logprob for each in (*prompt, *tokens)],
        top_logprobs=[_by_name(each) for each in (*prompt, *tokens)],
        text_offset=[*(each.offset for each in prompt), *(begin + each.offset for each in tokens)],
    )


def _top_logprob(likely: Likely) -> TopLogprob:
    return TopLogprob(token=likely.text, logprob=likely.logprob, bytes=list(likely.raw))


def _by_name(token: LoggedToken) -> dict[str, float] | None:
    """The likeliest tokens in its place, and itself; of two with one name the likelier."""
    if token.logprob is None:
        return None
    found = {_name(token.text, token.raw): token.logprob}
    for likely in token.top:
        name = _name(likely.text, likely.raw)
        found[name] = max(likely.logprob, found.get(name, likely.logprob))
    return found


def _name(text: str, raw: bytes) -> str:
    """As OpenAI's completions have it, where half a character is `bytes:` and its bytes."""
    return text if text.encode() == raw else f"bytes:{text}"
