"""The tokenizer is the model's, in whichever files it is published."""

import base64
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import tiktoken
from support.vicuna import vicuna_folder, write_sentencepiece
from tokenizers import pre_tokenizers

TEXTS = ["Hello, wörld!  Two  spaces", "Tell me\n\na story\tof 1234 goats.", "你好 🦙", "The assistant gives USER:"]
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A Llama without a tokenizer."""
    folder = vicuna_folder(tmp_path / "model")
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    return folder


def _describe(folder: Path, **settings) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
@pytest.mark.parametrize(
    "described",
    [None, {"tokenizer_class": "LlamaTokenizer"}, {"tokenizer_class": "LlamaTokenizer", "legacy": False}],
)
def test_sentencepiece_splits_as_sentencepiece_does(folder, load, edit_json, model_type, described):
    write_sentencepiece(folder / "tokenizer.model")
    edit_json(folder / "config.json", model_type=model_type, architectures=None)
    if described:
        _describe(folder, **described)
    yardstick = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    model = load(folder)
    for text in TEXTS:
        assert model.tokens(text, "prompt") == [1, *yardstick.encode(text)]


@pytest.mark.parametrize(
    "trained", [{"add_dummy_prefix": False}, {"normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True}]
)
def test_what_sentencepiece_does_before_it_splits_is_done(folder, load, trained):
    write_sentencepiece(folder / "tokenizer.model", **trained)
    _describe(folder, tokenizer_class="LlamaTokenizer", add_bos_token=True)
    yardstick = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    model = load(folder)
    for text in [*TEXTS, "Ｆｕｌｌ width"]:
        assert model.tokens(text, "prompt") == [1, *yardstick.encode(text)]


def test_sentencepiece_under_another_name_is_found(folder, load, edit_json):
    options = {
        "model_type": "unigram",
        "byte_fallback": False,
        "vocab_size": 100,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
    }
    write_sentencepiece(folder / "spiece.model", normalization_rule_name="nmt_nfkc", remove_extra_whitespaces=True,
                        **options)  # fmt: skip
    _describe(folder, tokenizer_class="T5Tokenizer", extra_ids=0)
    yardstick = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    assert load(folder).rendered_tokens(TEXTS[3], "prompt") == yardstick.encode(TEXTS[3])


def test_sentencepiece_that_no_conversion_suits_is_refused(folder, refusal):
    options = {"model_type": "unigram", "vocab_size": 360, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    write_sentencepiece(folder / "spiece.model", **options)
    _describe(folder, tokenizer_class="T5Tokenizer", extra_ids=0)
    assert refusal(folder) == (
        f"{folder}: spiece.model cannot be converted: transformers splits a text into other tokens by it than "
        "sentencepiece does; put the tokenizer.json beside it that belongs to the model"
    )


@pytest.mark.parametrize("name", ["tokenizer.model", "tiktoken.model"])
@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_tiktoken_splits_as_tiktoken_does(folder, load, name, kind):
    ranks = [bytes([byte]) for byte in range(256)] + [b"He", b"ll", b"Hell", b"Hello", b" T", b"wo", b" Two", b"US"]
    (folder / name).write_text("".join(f"{base64.b64encode(rank).decode()} {i}\n" for i, rank in enumerate(ranks)))
    specials = {token: len(ranks) + i for i, token in enumerate(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])}
    _describe(
        folder,
        tokenizer_class=kind,
        added_tokens_decoder={str(i): {"content": token, "special": True} for token, i in specials.items()},
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
    )
    table = {rank: i for i, rank in enumerate(ranks)}
    yardstick = tiktoken.Encoding("llama-3", pat_str=_LLAMA_3, mergeable_ranks=table, special_tokens=specials)
    model = load(folder)
    for text in [*TEXTS, "a turn<|eot_id|>"]:
        assert model.rendered_tokens(text, "prompt") == yardstick.encode(text, allowed_special="all")
    assert specials["<|end_of_text|>"] in model.end_tokens


@pytest.mark.parametrize("kind", ["GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer"])
def test_a_vocabulary_with_merges_is_enough(folder, load, kind):
    bytes_of = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*bytes_of, "He", "ll", "Hell", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nH e\nl l\nHe ll\n")
    _describe(folder, tokenizer_class=kind)
    assert load(folder).rendered_tokens("Hello", "prompt") == [vocabulary["Hell"], vocabulary["o"]]


@pytest.mark.parametrize(
    ("model_type", "described"),
    [
        ("llama", None),
        ("llama", {"tokenizer_class": "LlamaTokenizer"}),
        ("llama", {"tokenizer_class": "PreTrainedTokenizerFast"}),
        ("gpt2", {"tokenizer_class": "GPT2Tokenizer"}),
        ("gpt_neox", None),
    ],
)
def test_without_a_tokenizer_nothing_is_loaded(folder, refusal, edit_json, model_type, described):
    edit_json(folder / "config.json", model_type=model_type, architectures=None)
    if described:
        _describe(folder, **described)
    line = refusal(folder)
    assert line.startswith(f"{folder} has no tokenizer: none of tokenizer.json, ")
    assert line.endswith(" is there; copy the tokenizer's files beside the weights")


def test_a_vocabulary_without_its_merges_is_no_tokenizer(folder, refusal):
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "<|endoftext|>": 1}))
    _describe(folder, tokenizer_class="GPT2Tokenizer")
    assert "none of tokenizer.json, vocab.json with merges.txt, " in refusal(folder)


def test_an_encoder_needs_its_tokenizer_too(tmp_path, refusal):
    from integration.worker.model.test_weights import MINILM

    folder = shutil.copytree(MINILM, tmp_path / "encoder")
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()
    assert "has no tokenizer: none of tokenizer.json, vocab.txt" in refusal(folder, task="embed")
