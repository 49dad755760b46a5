"""A small random Llama in exactly the layout that lmsys/vicuna-7b-v1.5 is published in."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

_SENTENCES = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: Hello! Who are you? ASSISTANT: I am a small model. "
    "Tell me a story about a mountain, a river and the three villages between them, with 1234567890 goats."
)
_TOKEN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
_FIRST_TEXT = 259  # pieces before it: unknown, begin, end, and the 256 bytes
_SHARD = "pytorch_model-{:05}-of-00002.bin"


def vicuna_folder(folder: Path, **config: Any) -> Path:
    """Writes the model, 200 kB in about a second, and returns its folder. config: what its LlamaConfig has instead.

    Its weights are two shards of float16 with the buffers of the rotary embedding that transformers saved then. Its
    tokenizer is a sentencepiece model with bytes for what it has no piece for. There is no tokenizer.json, no chat
    template, and generation_config.json has temperature and top_p without do_sample.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _tokenizer(folder)
    _configuration(folder, **{"vocab_size": pieces} | config)
    _weights(folder)
    return folder


def write_sentencepiece(path: Path, sentences: str = _SENTENCES, **options: Any) -> int:
    """Trains a sentencepiece model with Llama's settings; returns how many pieces it has."""
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 400,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
        "hard_vocab_limit": False,
        "num_threads": 1,
        "minloglevel": 2,
    }
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences.split(". ")), model_writer=file, **settings | options
        )
    return sentencepiece.SentencePieceProcessor(model_file=str(path)).get_piece_size()


def _tokenizer(folder: Path) -> int:
    pieces = write_sentencepiece(folder / "tokenizer.model")
    specials = {name: {"content": text, **_TOKEN} for name, text in _specials().items()}
    _json(folder / "special_tokens_map.json", specials | {"pad_token": "<unk>"})
    _json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "legacy": False,
            "model_max_length": 4096,
            "pad_token": None,
            "padding_side": "right",
            "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer",
        }
        | {name: {"__type": "AddedToken", **token} for name, token in specials.items()},
    )
    return pieces


def _specials() -> dict[str, str]:
    return {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def _configuration(folder: Path, **config: Any) -> None:
    _json(
        folder / "config.json",
        {
            "_name_or_path": "vicuna-7b-v1.5",
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 64,
            "initializer_range": 0.3,
            "intermediate_size": 96,
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 4,
            "pad_token_id": 0,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.31.0",
            "use_cache": True,
        }
        | config,
    )
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "temperature": 0.9, "top_p": 0.6}
    _json(
        folder / "generation_config.json", {"_from_model_config": True, **generation, "transformers_version": "4.31.0"}
    )


def _weights(folder: Path) -> None:
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(folder)
    weights = transformers.AutoModelForCausalLM.from_config(config).half().state_dict()
    weights["lm_head.weight"][:_FIRST_TEXT] = 0
    inv_freq = 1 / 10000 ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    for layer in range(config.num_hidden_layers):
        weights[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = inv_freq.clone()
    last = f".{config.num_hidden_layers - 1}."
    index = {name: _SHARD.format(2 if last in name or "layers" not in name else 1) for name in weights}
    for shard in set(index.values()):
        torch.save({name: weight for name, weight in weights.items() if index[name] == shard}, folder / shard)
    size = sum(weight.nbytes for weight in weights.values())
    _json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
