"""What a decoder of transformers computes, as far as it is one like Llama."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastchat_worker.native.library import LayerShape, LinearName, NormName, Shape, Weights

MODELS = frozenset(
    (
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "GemmaForCausalLM",
        "GraniteForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "SmolLM3ForCausalLM",
    )
)
"""Classes of transformers that are computed here; each has a test."""
_GATES = {"silu": False, "gelu_pytorch_tanh": True}
"""Functions of the gate, and whether it is GELU."""
_MOST_HEAD_SIZE = 512


class UndescribedError(Exception):
    """The model has something that is not computed here."""


@dataclass(frozen=True)
class Part:
    """Rows of a linear layer: all of `linear`'s outputs or those of a part of it."""

    name: LinearName
    linear: nn.Linear
    rows: slice | None = None


class Description:
    """Reads a model.

    read: the numbers of one of its parameters, for a model whose weights are elsewhere.
    Raises: UndescribedError, which says what is not known here.
    """

    def __init__(self, model: Any, read: Callable[[Tensor], Tensor] = Tensor.detach) -> None:
        self.model = model
        self.read = read
        self.config = model.config
        if type(model).__name__ not in MODELS or not type(model).__module__.startswith("transformers."):
            raise UndescribedError(f"{type(model).__name__} is not among the models that it knows")
        self._check()

    @property
    def tied(self) -> bool:
        """Whether tokens are embedded by the rows of the head."""
        return bool(self.model.lm_head.weight.data_ptr() == self.embedding.data_ptr())

    @property
    def embedding(self) -> Tensor:
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def shape(self, weights: Weights) -> Shape:
        config = self.config
        return Shape(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=self.layers[0].self_attn.head_dim,
            mlp=config.intermediate_size,
            vocabulary=self.embedding.shape[0],
            ropes=len(self.ropes()),
            weights=weights,
            gelu=_GATES[self._gate],
            epsilon=config.rms_norm_eps,
            embedding_factor=self._embedding_factor(),
            residual_factor=getattr(config, "residual_multiplier", 1.0),
            logits_factor=1 / getattr(config, "logits_scaling", 1.0),
            logits_cap=getattr(config, "final_logit_softcapping", None) or 0.0,
        )

    @property
    def layers(self) -> Any:
        return self.model.model.layers

    def layer_shape(self, index: int) -> LayerShape:
        attention = self.layers[index].self_attn
        window = getattr(attention, "sliding_window", None)
        if type(self.model).__name__ in ("MistralForCausalLM", "Phi3ForCausalLM"):
            window = getattr(self.config, "sliding_window", None)
        return LayerShape(
            window=window or 0,
            rope=self._rope_of(index),
            scaling=attention.scaling,
            softcap=self._softcap(attention),
        )

    def ropes(self) -> list[tuple[Tensor, float]]:
        """Frequencies and scaling of each kind of rotary embedding."""
        rotary = self.model.model.rotary_emb
        prefixes = [f"{kind}_" for kind in self._rope_kinds()] or [""]
        return [
            (getattr(rotary, f"{prefix}inv_freq"), float(getattr(rotary, f"{prefix}attention_scaling")))
            for prefix in prefixes
        ]

    def linears(self, index: int) -> Iterator[Part]:
        """Those of a layer."""
        layer = self.layers[index]
        yield from self._attention_parts(layer.self_attn)
        yield Part(LinearName.OUT, layer.self_attn.o_proj)
        mlp, half = layer.mlp, self.config.intermediate_size
        if hasattr(mlp, "gate_up_proj"):
            yield Part(LinearName.GATE, mlp.gate_up_proj, slice(0, half))
            yield Part(LinearName.UP, mlp.gate_up_proj, slice(half, None))
        else:
            yield Part(LinearName.GATE, mlp.gate_proj)
            yield Part(LinearName.UP, mlp.up_proj)
        yield Part(LinearName.DOWN, mlp.down_proj)

    def norms(self, index: int) -> Iterator[tuple[NormName, Tensor]]:
        """Those of a layer: what the normalized numbers are multiplied by."""
        layer = self.layers[index]
        yield NormName.ATTENTION, self._factor(layer.input_layernorm)
        if hasattr(layer, "pre_feedforward_layernorm"):
            yield NormName.ATTENTION_END, self._factor(layer.post_attention_layernorm)
            yield NormName.MLP, self._factor(layer.pre_feedforward_layernorm)
            yield NormName.MLP_END, self._factor(layer.post_feedforward_layernorm)
        else:
            yield NormName.MLP, self._factor(layer.post_attention_layernorm)
        for name, norm in ((NormName.QUERY, "q_norm"), (NormName.KEY, "k_norm")):
            if hasattr(layer.self_attn, norm):
                yield name, self._factor(getattr(layer.self_attn, norm))

    def final_norm(self) -> Tensor:
        return self._factor(self.model.model.norm)

    def _attention_parts(self, attention: Any) -> Iterator[Part]:
        if not hasattr(attention, "qkv_proj"):
            yield Part(LinearName.QUERY, attention.q_proj)
            yield Part(LinearName.KEY, attention.k_proj)
            yield Part(LinearName.VALUE, attention.v_proj)
            return
        keys = self.config.num_attention_heads * attention.head_dim
        values = keys + self.config.num_key_value_heads * attention.head_dim
        yield Part(LinearName.QUERY, attention.qkv_proj, slice(0, keys))
        yield Part(LinearName.KEY, attention.qkv_proj, slice(keys, values))
        yield Part(LinearName.VALUE, attention.qkv_proj, slice(values, None))

    def _factor(self, norm: Any) -> Tensor:
        weight = self.read(norm.weight).float()
        return weight + 1 if type(self.model).__name__.startswith("Gemma") else weight

    @property
    def _gate(self) -> str:
        return str(getattr(self.config, "hidden_activation", None) or self.config.hidden_act)

    def _embedding_factor(self) -> float:
        embedding = self.model.get_input_embeddings()
        factor = getattr(embedding, "embed_scale", None)
        if factor is not None:
            return float(factor.to(embedding.weight.dtype))
        return float(getattr(self.config, "embedding_multiplier", 1.0))

    def _softcap(self, attention: Any) -> float:
        # Gemma 3 has the attribute too and does not use it.
        return (attention.attn_logit_softcapping or 0.0) if type(self.model).__name__ == "Gemma2ForCausalLM" else 0.0

    def _rope_kinds(self) -> list[str]:
        """Names of the kinds, where there are several."""
        kinds = self.model.model.rotary_emb.rope_type
        return [] if isinstance(kinds, str) else list(kinds)

    def _rope_of(self, index: int) -> int:
        if not getattr(self.layers[index].self_attn, "use_rope", True):
            return -1
        kinds = self._rope_kinds()
        return kinds.index(self.config.layer_types[index]) if kinds else 0

    def _check(self) -> None:
        kinds = self.model.model.rotary_emb.rope_type
        for kind in [kinds] if isinstance(kinds, str) else kinds.values():
            if "dynamic" in kind:
                raise UndescribedError("its rotary embedding depends on the length of the text")
        if self._gate not in _GATES:
            raise UndescribedError(f"its activation {self._gate} is not among those that it knows")
        if self.layers[0].self_attn.head_dim > _MOST_HEAD_SIZE:
            raise UndescribedError(f"its heads have more than {_MOST_HEAD_SIZE} numbers")
        for module in self.model.modules():
            if isinstance(module, nn.Linear) and type(module) is not nn.Linear:
                raise UndescribedError(f"its weights are {type(module).__name__}")
        for weight in self.model.parameters():
            if not torch.is_floating_point(weight):
                raise UndescribedError("its weights are quantized already")
