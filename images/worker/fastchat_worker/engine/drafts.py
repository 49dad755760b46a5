"""Tokens that are likely to follow, found in the text so far (prompt lookup)."""

from array import array

from fastchat_worker.engine.sequence import Sequence

_LONGEST = 8  # tokens of a draft
_WINDOW = 8192  # tokens, from the last on, among which is looked
_SIZE = array("i").itemsize


class Drafter:
    """Drafts what followed the last `ngram` tokens where they stood before.

    https://github.com/apoorvumang/prompt-lookup-decoding
    """

    def __init__(self, ngram: int) -> None:
        self._ngram = ngram

    def draft(self, sequence: Sequence) -> tuple[int, ...]:
        """At most 8 tokens, and not more than the sequence may still have; none where nothing is found.

        None either where what may follow depends on the tokens before it by more than the model: penalties, a grammar.
        """
        most = min(_LONGEST, sequence.max_tokens - len(sequence.tokens) - 1)
        if most < 1 or not _is_plain(sequence):
            return ()
        end = len(sequence.prompt) + len(sequence.tokens)
        tokens = array("i", sequence.read(max(end - _WINDOW, 0), end))
        # The last place with a whole draft behind it; in a text that repeats itself the newest has less.
        after = _find(tokens, self._ngram, len(tokens) - most) or _find(tokens, self._ngram, len(tokens) - 1)
        return tuple(tokens[after : after + most]) if after else ()


def _is_plain(sequence: Sequence) -> bool:
    sampling = sequence.sampling
    penalised = sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1
    return not (penalised or sampling.min_tokens or sequence.grammar)


def _find(tokens: "array[int]", ngram: int, end: int) -> int:
    """Where the last place ends, before `end` or there, that has the last tokens; 0: nowhere."""
    if end < ngram:
        return 0
    text, wanted, last = tokens.tobytes(), tokens[-ngram:].tobytes(), end * _SIZE
    at = text.rfind(wanted, 0, last)
    while at % _SIZE and at > 0:  # the bytes of others
        at = text.rfind(wanted, 0, at + len(wanted) - 1)
    return at // _SIZE + ngram if at >= 0 else 0
