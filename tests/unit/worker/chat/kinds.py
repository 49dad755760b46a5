"""Small tokenizers of the kinds that models have, each with the same control tokens."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import transformers
from support.vicuna import vicuna_folder
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

SPECIAL = ("<|im_start|>", "<|im_end|>")
ADDED = "<think>"
"""Added without being special, as reasoning models have it."""
KINDS = ("sentencepiece", "byte-level", "unigram", "wordpiece")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
)


@functools.cache
def tokenizer_of(kind: str) -> Any:
    """One tokenizer of a kind, whose chat template is TEMPLATE."""
    made = _sentencepiece() if kind == "sentencepiece" else _rust(kind)
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    made.add_tokens([AddedToken(ADDED, normalized=False)])
    made.chat_template = TEMPLATE
    return made


def _sentencepiece() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return transformers.AutoTokenizer.from_pretrained(vicuna_folder(Path(folder)))


def _rust(kind: str) -> Any:
    made = {"byte-level": _byte_level, "unigram": _unigram, "wordpiece": _wordpiece}[kind]()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _byte_level() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({text: i for i, text in enumerate(["<s>", "</s>", "<unk>", *alphabet])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _unigram() -> Tokenizer:
    """Its vocabulary has the control tokens as pieces like any other, which plain text could become."""
    characters = [(chr(code), -10.0) for code in range(32, 127)]
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((text, -1.0) for text in SPECIAL), ("▁", -2.0)]
    made = Tokenizer(models.Unigram([*pieces, *characters], unk_id=0, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _wordpiece() -> Tokenizer:
    characters = [chr(code) for code in range(33, 127)]
    pieces = ["<s>", "</s>", "<unk>", *characters, *(f"##{each}" for each in characters)]
    made = Tokenizer(models.WordPiece({text: i for i, text in enumerate(pieces)}, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made
