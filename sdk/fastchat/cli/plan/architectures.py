"""How many weights a model has, and what its cache stores, by the fields of its config.json.

A decoder's layers are all alike but for a few: each family says how its own differ. What is counted is what
transformers makes of the same configuration, to the number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastchat.cli.errors import CommandError
from fastchat.cli.plan.model import ITEM_BYTES, Model


@dataclass(frozen=True)
class Family:
    """How a family's layers differ from Llama's: gated MLP, two RMS norms, no biases."""

    gated: bool = True
    """Three matrices in the MLP, else two."""
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    norms: int = 2
    """In each layer, of the model's width."""
    norm_bias: bool = False
    head_norms: str = ""
    """Norms of queries and keys: `size`, each of a head's size, or `all`, of all heads together."""
    positions: int | None = None
    """Learned ones are so many more than the context; None: there are none."""
    grouped: bool = True
    """Several heads of queries may share keys and values."""
    tied: bool = False
    """Where the configuration does not say."""
    head_bias: bool = False
    """The output layer has a bias."""
    shared_expert: bool = False
    sinks: bool = False
    """A number for each head; experts and their router have biases."""
    latent: bool = False
    """Keys and values are made from one short vector of each token (MLA, arXiv:2405.04434); the first layers are dense,
    and beside the experts of the others are some that every token passes."""
    whole_attention: bool = False
    """Several GPUs do not share out its heads: transformers' plan for the family leaves attention as it is."""


FAMILIES: Mapping[str, Family] = {
    "cohere": Family(norms=1, tied=True),
    "deepseek_v2": Family(latent=True),
    "deepseek_v3": Family(latent=True, whole_attention=True),
    "gemma": Family(tied=True),
    "gemma2": Family(norms=4, tied=True),
    "gemma3_text": Family(norms=4, tied=True, head_norms="size"),
    "glm4": Family(norms=4, qkv_bias=False),
    "gpt2": Family(
        gated=False, grouped=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, positions=0, tied=True
    ),
    "gpt_neox": Family(gated=False, grouped=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True),
    "gpt_oss": Family(qkv_bias=True, out_bias=True, sinks=True),
    "granite": Family(),
    "llama": Family(),
    "mistral": Family(),
    "mixtral": Family(),
    "olmo2": Family(head_norms="all"),
    "opt": Family(
        gated=False, grouped=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, positions=2, tied=True
    ),
    "phi": Family(
        gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norms=1, norm_bias=True, head_bias=True
    ),
    "phi3": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen2_moe": Family(qkv_bias=True, shared_expert=True),
    "qwen3": Family(head_norms="size"),
    "qwen3_moe": Family(head_norms="size"),
    "smollm3": Family(tied=True),
    "starcoder2": Family(
        gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, tied=True
    ),
}  # fmt: skip
_UNUSUAL_BITS = {"fp8": 8, "mxfp4": 4.25, "fbgemm_fp8": 8}
"""Bits for a weight, by the method of quantisation where it does not say them itself."""


class _Fields:
    """A configuration's fields, some of which have several names."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def number(self, *names: str, default: int | None = None) -> int:
        """The first of these that is a number; raises CommandError where none is and there is no default."""
        for name in names:
            value = self._config.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        if default is None:
            raise CommandError(f"config.json has no {names[0]}: it does not describe a language model")
        return default

    def is_null(self, name: str) -> bool:
        """Whether it is said to be nothing, which is not what is usual."""
        return name in self._config and self._config[name] is None

    def numbers(self, name: str) -> list[int]:
        value = self._config.get(name)
        return value if isinstance(value, list) else []

    def flag(self, name: str, default: bool) -> bool:
        value = self._config.get(name)
        return default if value is None else bool(value)


@dataclass(frozen=True)
class _Sizes:
    hidden: int
    layers: int
    heads: int
    key_heads: int
    key_size: int
    value_size: int
    mlp: int
    vocabulary: int
    context: int


def read(config: Mapping[str, Any]) -> Model:
    """The model that a config.json describes.

    Raises:
        CommandError: of an architecture that is not known here, or not described.
    """
    text = _text_config(config)
    kind = str(text.get("model_type") or "")
    family = FAMILIES.get(kind)
    if family is None:
        raise CommandError(
            f"the architecture {kind or '(not named)'} is not known here; known are {', '.join(sorted(FAMILIES))}"
        )
    fields = _Fields(text)
    sizes = _sizes(family, fields)
    heads = (sizes.heads, sizes.key_heads, sizes.key_size, sizes.value_size)
    if min(sizes.hidden, sizes.layers, sizes.vocabulary, *heads) < 1:
        raise CommandError("config.json has sizes below 1: it does not describe a language model")
    tables = _tables(family, fields, sizes)
    parameters = _parameters(family, fields, sizes) + tables
    attention = sizes.layers * _attention(family, fields, sizes)
    dtype = str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "float32")
    return Model(
        architecture=kind,
        parameters=parameters,
        layers=sizes.layers,
        key_heads=sizes.key_heads,
        key_size=sizes.key_size,
        value_size=sizes.value_size,
        context=sizes.context,
        dtype=dtype if dtype in ITEM_BYTES else "bfloat16",
        quantized_bytes=_quantized(config, parameters, tables),
        latent_size=_latent_size(fields) if family.latent else None,
        whole_share=attention / parameters if family.whole_attention else 0,
    )


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a model that takes pictures as well, what describes its decoder."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) and inner.get("model_type") in FAMILIES else config


def _sizes(family: Family, fields: _Fields) -> _Sizes:
    hidden = fields.number("hidden_size", "n_embd")
    heads = fields.number("num_attention_heads", "n_head")
    key_size, value_size = _head_sizes(family, fields, hidden // max(heads, 1))
    return _Sizes(
        hidden=hidden,
        layers=fields.number("num_hidden_layers", "n_layer"),
        heads=heads,
        key_heads=fields.number("num_key_value_heads", default=heads) if family.grouped else heads,
        key_size=key_size,
        value_size=value_size,
        mlp=fields.number("intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
        vocabulary=fields.number("vocab_size"),
        context=fields.number("max_position_embeddings", "n_positions", default=0),
    )


def _head_sizes(family: Family, fields: _Fields, usual: int) -> tuple[int, int]:
    """Numbers of a head's key and of its value."""
    if family.latent:
        return fields.number("qk_nope_head_dim") + fields.number("qk_rope_head_dim"), fields.number("v_head_dim")
    size = fields.number("head_dim", default=usual)
    return size, size


def _latent_size(fields: _Fields) -> int:
    """Numbers of the vector that a token's keys and values are made from, and of the key that all heads share."""
    return fields.number("kv_lora_rank") + fields.number("qk_rope_head_dim")


def _parameters(family: Family, fields: _Fields, sizes: _Sizes) -> int:
    """Of all but the tables."""
    layers = sum(_layer(family, fields, sizes, number) for number in range(sizes.layers))
    final_norm = sizes.hidden * (1 + family.norm_bias)
    return layers + final_norm


def _tables(family: Family, fields: _Fields, sizes: _Sizes) -> int:
    """Embeddings of tokens and positions, and the output layer unless that is the former."""
    width = fields.number("word_embed_proj_dim", default=sizes.hidden)
    tables = 1 if fields.flag("tie_word_embeddings", family.tied) else 2
    projections = 2 * width * sizes.hidden if width != sizes.hidden else 0
    learned = 0 if family.positions is None else (sizes.context + family.positions) * sizes.hidden
    return tables * sizes.vocabulary * width + projections + learned + family.head_bias * sizes.vocabulary


def _layer(family: Family, fields: _Fields, sizes: _Sizes, number: int) -> int:
    norms = family.norms * sizes.hidden * (1 + family.norm_bias)
    return _attention(family, fields, sizes) + _mlp(family, fields, sizes, number) + norms


def _attention(family: Family, fields: _Fields, sizes: _Sizes) -> int:
    if family.latent:
        return _latent_attention(fields, sizes)
    queries, keys = sizes.heads * sizes.key_size, sizes.key_heads * sizes.key_size
    stated = fields.flag("attention_bias", False) or fields.flag("use_bias", False)
    weights = 2 * sizes.hidden * queries + 2 * sizes.hidden * keys
    biases = (family.qkv_bias or stated) * (queries + 2 * keys) + (family.out_bias or stated) * sizes.hidden
    norms = {"size": 2 * sizes.key_size, "all": queries + keys}.get(family.head_norms, 0)
    return weights + biases + norms + family.sinks * sizes.heads


def _latent_attention(fields: _Fields, sizes: _Sizes) -> int:
    """Each of the two short vectors, that of the queries and that of keys and values, has a norm."""
    rank, inward = fields.number("kv_lora_rank"), _latent_size(fields)
    short = 0 if fields.is_null("q_lora_rank") else fields.number("q_lora_rank")
    queries = sizes.heads * sizes.key_size
    made = sizes.heads * (sizes.key_size - fields.number("qk_rope_head_dim") + sizes.value_size)
    weights = sizes.hidden * inward + rank * (1 + made) + sizes.heads * sizes.value_size * sizes.hidden
    weights += short * (sizes.hidden + 1 + queries) if short else sizes.hidden * queries
    return weights + fields.flag("attention_bias", False) * (short + inward + sizes.hidden)


def _mlp(family: Family, fields: _Fields, sizes: _Sizes, number: int) -> int:
    experts = fields.number("num_local_experts", "num_experts", "n_routed_experts", default=0)
    if not experts or not _is_sparse(fields, number):
        bias = family.mlp_bias or fields.flag("mlp_bias", False)
        return _matrices(family, sizes.hidden, sizes.mlp, bias=bias)
    width = fields.number("moe_intermediate_size", default=sizes.mlp)
    router = sizes.hidden * experts + family.sinks * experts
    shared = _shared_experts(family, fields, sizes.hidden, width)
    return experts * _matrices(family, sizes.hidden, width, bias=family.sinks) + router + shared


def _shared_experts(family: Family, fields: _Fields, hidden: int, width: int) -> int:
    """Of a layer's experts, those that every token passes."""
    if family.latent:
        return _matrices(family, hidden, width * fields.number("n_shared_experts", default=0), bias=False)
    if family.shared_expert:
        own = fields.number("shared_expert_intermediate_size")
        return _matrices(family, hidden, own, bias=False) + hidden  # its gate
    return 0


def _is_sparse(fields: _Fields, number: int) -> bool:
    """Whether a layer's MLP is one of experts."""
    step = fields.number("decoder_sparse_step", default=1)
    if number < fields.number("first_k_dense_replace", default=0):
        return False
    return number not in fields.numbers("mlp_only_layers") and (number + 1) % max(step, 1) == 0


def _matrices(family: Family, hidden: int, width: int, *, bias: bool) -> int:
    inward = 2 if family.gated else 1
    return (inward + 1) * hidden * width + bias * (inward * width + hidden)


def _quantized(config: Mapping[str, Any], parameters: int, tables: int) -> int | None:
    """Bytes of weights that stay quantised: the layers' in so many bits, the tables' in two bytes; None: none stay."""
    said = config.get("quantization_config")
    if not isinstance(said, dict):
        return None
    bits = (
        said.get("bits") or _UNUSUAL_BITS.get(str(said.get("quant_method"))) or (4 if said.get("load_in_4bit") else 8)
    )
    group = said.get("group_size")
    scales = 20 / group if isinstance(group, int) and group > 0 else 0  # a scale and a zero point for each group
    return int((parameters - tables) * (bits + scales) / 8) + 2 * tables
