"""llama.cpp's own few bits: python -m engines.llama_perplexity FLOAT.gguf F32|Q8_0|Q4_K_M TEXTS.json

Prints as JSON the nats of all tokens but the texts' first ones together, and the bytes of the file.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import llama_cpp
import numpy as np
from engines.with_llama_cpp import BATCH, Llama

_TYPES = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M}


def main(path: Path, kind: str, texts: list[list[int]]) -> None:
    with TemporaryDirectory() as folder:
        file = path if kind == "F32" else quantized(path, kind, Path(folder) / "model.gguf")
        llama = Llama(str(file), threads=2)
        nats = sum(nats_of(llama, text) for text in texts)
        print(json.dumps({"nats": nats, "bytes": file.stat().st_size}))


def quantized(path: Path, kind: str, to: Path) -> Path:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = _TYPES[kind]
    if code := llama_cpp.llama_model_quantize(str(path).encode(), str(to).encode(), parameters):
        raise RuntimeError(f"llama_model_quantize returns {code}")
    return to


def nats_of(llama: Llama, text: list[int]) -> float:
    if len(text) > BATCH:
        raise ValueError(f"a text has more than {BATCH} tokens")
    with llama.session([text], 1):
        batch = llama.batch
        batch.n_tokens = len(text)
        for index, token in enumerate(text):
            batch.token[index], batch.pos[index], batch.logits[index] = token, index, True
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        if code := llama_cpp.llama_decode(llama.context, batch):
            raise RuntimeError(f"llama_decode returns {code}")
        rows = (llama_cpp.llama_get_logits_ith(llama.context, index) for index in range(len(text) - 1))
        return sum(map(surprise, (np.ctypeslib.as_array(row, (llama.vocabulary,)) for row in rows), text[1:]))


def surprise(logits: np.ndarray, token: int) -> float:
    """Nats of a token."""
    highest = logits.max()
    return float(np.log(np.exp((logits - highest).astype(np.float64)).sum()) + highest - logits[token])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text()))
