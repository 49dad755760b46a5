"""A sentence-transformers model as fastembed reads it: an ONNX file in float32 beside the tokenizer's files."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class LastHidden(torch.nn.Module):
    """[batch, tokens, hidden] of a model, by its three inputs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self._model(**dict(zip(INPUTS, tensors, strict=True))).last_hidden_state
        return hidden


def write(source: Path, folder: Path, longest: int, onnx: Path) -> None:
    """Exports the model in `source`, of texts of up to `longest` tokens. onnx: where that package is installed."""
    sys.path.append(str(onnx))
    model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    example = tuple(torch.ones(2, 7, dtype=torch.long) for _ in INPUTS)
    axes = {name: {0: "batch", 1: "tokens"} for name in (*INPUTS, "last_hidden_state")}
    torch.onnx.export(
        LastHidden(model), example, str(folder / "model.onnx"), dynamo=False, opset_version=17,
        input_names=list(INPUTS), output_names=["last_hidden_state"], dynamic_axes=axes,
    )  # fmt: skip
    for name in ("config.json", "tokenizer.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copy(source / name, folder)
    read = json.loads((source / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(read | {"model_max_length": longest}))
