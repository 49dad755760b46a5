"""With which tokens a model ends what it says: told in several places, of which one may be the only right one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Turn = Mapping[str, str]
_QUESTION = "What is the weather like?"
_ANSWER = "Sunny all day long"


def told_end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase, others: Sequence[int] = ()) -> frozenset[int]:
    """Those of generation_config.json or the configuration, and the tokenizer's.

    others: from elsewhere, such as a GGUF file's end of turn.
    """
    ends = model.generation_config.eos_token_id
    listed = [ends] if isinstance(ends, int) else ends or []
    return frozenset(token for token in (*listed, tokenizer.eos_token_id, *others) if token is not None)


def end_of_turn(tokenizer: PreTrainedTokenizerBase, render: Callable[[Sequence[Turn]], str]) -> frozenset[int]:
    """The special token that a chat template puts after an assistant's text; empty where it puts none there.

    render: a conversation as the template writes it, without what makes the assistant speak. It may raise, and then the
    template says nothing. Where nothing follows a last turn, what follows an earlier one counts: the next speaker's
    token, at which generation has to end as well.
    """
    asked, answered = {"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}
    for turns in ([asked, answered], [asked, answered, asked]):
        try:
            text = render(turns)
        except Exception as error:  # noqa: BLE001  # a template is a program of strangers
            logger.debug("the chat template does not render a trial conversation: %s", error)
            continue
        token = _special_after(tokenizer, text.rpartition(_ANSWER)[2] if _ANSWER in text else "")
        if token is not None:
            return frozenset([token])
    return frozenset()


def _special_after(tokenizer: PreTrainedTokenizerBase, rest: str) -> int | None:
    """The special token that a text begins with, after blanks."""
    rest = rest.lstrip()
    marks = {str(token): id_ for id_, token in tokenizer.added_tokens_decoder.items() if _ends(token, tokenizer)}
    first = max((mark for mark in marks if rest.startswith(mark)), key=len, default=None)
    return None if first is None else marks[first]


def _ends(token: Any, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether an added token may be an end: it is special, written like one, and begins no text."""
    text = str(token)
    marked = token.special or (text.startswith("<") and text.endswith(">"))
    return bool(marked and text.strip() and (text != tokenizer.bos_token or text == tokenizer.eos_token))
