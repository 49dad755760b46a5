"""fastembed in an environment of its own: embeds the same sentences once for each line that it reads.

    python with_fastembed.py FOLDER SENTENCES.json

FOLDER has model.onnx and the tokenizer's files. It says "ready", then seconds of the clock and of CPU for each line.
The sentences come in the order of their lengths, 32 at a time, which is the fastest way through it.
"""

import json
import resource
import sys
import time
from pathlib import Path

from fastembed import TextEmbedding

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
BATCH = 32


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(folder: str, file: str) -> None:
    model = TextEmbedding(MODEL, specific_model_path=folder, providers=["CPUExecutionProvider"])
    sentences = sorted(json.loads(Path(file).read_text()), key=len)
    print("ready", flush=True)
    for _ in sys.stdin:
        began, used = time.monotonic(), cpu()
        vectors = list(model.embed(sentences, batch_size=BATCH))
        print(time.monotonic() - began, cpu() - used, flush=True)
        assert len(vectors) == len(sentences)


if __name__ == "__main__":
    main(*sys.argv[1:])
