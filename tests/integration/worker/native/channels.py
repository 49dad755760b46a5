"""The same model with its channels in another order."""

from typing import Any

import torch
from torch import nn


@torch.no_grad()
def shuffle_channels(model: Any) -> None:
    """Permutes hidden channels, those of the MLPs and those of the values' heads of a Llama with tied embeddings."""
    random = torch.Generator().manual_seed(1)
    hidden = torch.randperm(model.config.hidden_size, generator=random)
    embedding = model.get_input_embeddings()
    _take(embedding, embedding.weight[:, hidden])
    model.lm_head.weight = embedding.weight
    _take(model.model.norm, model.model.norm.weight[hidden])
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            _take(norm, norm.weight[hidden])
        _shuffle_mlp(layer.mlp, hidden, random)
        _shuffle_attention(layer.self_attn, hidden, random)


def _shuffle_mlp(mlp: Any, hidden: torch.Tensor, random: torch.Generator) -> None:
    inner = torch.randperm(mlp.down_proj.in_features, generator=random)
    for linear in (mlp.gate_proj, mlp.up_proj):
        _take(linear, linear.weight[inner][:, hidden])
    _take(mlp.down_proj, mlp.down_proj.weight[hidden][:, inner])


def _shuffle_attention(attention: Any, hidden: torch.Tensor, random: torch.Generator) -> None:
    size = attention.head_dim
    within = torch.randperm(size, generator=random)
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
        _take(linear, linear.weight[:, hidden])
    values, out = attention.v_proj.weight, attention.o_proj.weight[hidden]
    _take(attention.v_proj, values.unflatten(0, (-1, size))[:, within].flatten(0, 1))
    _take(attention.o_proj, out.unflatten(1, (-1, size))[:, :, within].flatten(1))


def _take(module: nn.Module, weight: torch.Tensor) -> None:
    module.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
