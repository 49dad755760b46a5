import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from fastchat_worker.sampling.grammar import Grammars, regex
from fastchat_worker.sampling.grammar_state import allowed_tokens
from fastchat_worker.sampling.token_table import token_bytes

SENTENCEPIECE = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "▁a", "a", "é", "<0xC3>", "<0xA9>", "</s"]
BYTE_LEVEL = ["<s>", "</s>", "Ġ", "a", "Ġa", "Ċ", "Ã", "©", "Ã©"]


class Slow:
    """A tokenizer that only Python knows."""

    bos_token_id = 1

    def __init__(self, pieces: list[str], special: list[int]) -> None:
        self._pieces, self.all_special_ids = pieces, special

    def __len__(self) -> int:
        return len(self._pieces)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self._pieces[i] for i in ids]


def _first(pieces: list[str], special: list[int], end: int, pattern: str, vocabulary: int) -> set[int]:
    state = Grammars(Slow(pieces, special), vocabulary, {end}).compile(regex(pattern))()
    (words,) = allowed_tokens([state])
    assert words is not None
    return set(np.nonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))[0].tolist())


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        (" a", {"▁a"}),
        ("\\n", {"<0x0A>"}),
        ("é|a", {"é", "<0xC3>", "a"}),
        ("a?", {"a", "</s>"}),
        ("</s", {"</s"}),
    ],
)
def test_sentencepieces_vocabulary_is_read_as_bytes(pattern, pieces):
    allowed = _first(SENTENCEPIECE, [0, 1, 2], 2, pattern, vocabulary=len(SENTENCEPIECE))
    assert {SENTENCEPIECE[i] for i in allowed} == pieces


@pytest.mark.parametrize(
    ("pattern", "pieces"), [(" a", {"Ġa"}), ("\\n", {"Ċ"}), ("é|a", {"Ã", "Ã©", "a"}), ("a?", {"a", "</s>"})]
)
def test_a_byte_level_vocabulary_is_read_as_bytes(pattern, pieces):
    allowed = _first(BYTE_LEVEL, [0, 1], 1, pattern, vocabulary=len(BYTE_LEVEL))
    assert {BYTE_LEVEL[i] for i in allowed} == pieces


def test_logits_beyond_the_tokenizer_are_never_allowed():
    assert max(_first(BYTE_LEVEL, [0, 1], 1, "(.|\\n)*", vocabulary=100)) < len(BYTE_LEVEL)


def test_a_vocabulary_in_bytes_is_taken_as_it_is():
    assert token_bytes(b"\xff\x00", {}) == b"\xff\x00"


def test_a_fast_tokenizer_that_llguidance_does_not_know_is_read_by_its_vocabulary():
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁a", -1.0), ("a", -2.0), ("▁", -2.5)]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=0))
    unigram.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unigram, eos_token="</s>", unk_token="<unk>")
    state = Grammars(tokenizer, len(pieces), {1}).compile(regex(" a|a"))()
    (words,) = allowed_tokens([state])
    assert words is not None
    assert words.tolist() == [0b11100]
