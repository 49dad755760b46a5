"""Small random encoders in transformers' layout, made where they are needed."""

from pathlib import Path
from typing import Any

WORDS = (
    "a",
    "b",
    "c",
    "query",
    "document",
    ":",
    "the",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "and",
    "ran",
    "far",
    ".",
    "?",
    "!",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tokenizer(spare: int = 0, extra: tuple[str, ...] = (), **kwargs: Any) -> Any:
    """BERT's in small, with so many tokens more than `bert` knows."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *WORDS, *extra, *(f"spare{number}" for number in range(spare))]
    vocabulary = {name: number for number, name in enumerate(names)}
    words = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    options = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    types = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=32, model_input_names=types, **options, **kwargs
    )


def save_bert(folder: Path, head: str = "BertModel", spare: int = 0, seed: int = 0, **config: Any) -> Path:
    """A BERT of two layers and its tokenizer, as transformers lays them out."""
    import torch
    import transformers

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    made = transformers.BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), max_position_embeddings=32, initializer_range=0.5, **sizes, **config
    )
    model = getattr(transformers, head)(made)
    model.save_pretrained(folder)
    tokenizer(spare).save_pretrained(folder)
    return folder
