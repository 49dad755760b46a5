"""What adapters add to a step: 16 sequences with four of rank 16 take turns with the same 16 on the base alone.

    python benchmarks/adapters.py [--prompt 64] [--tokens 96] [--rounds 3] [--threads 2] [--only native,int8,torch]

SmolLM2-135M on our engine; neighbours have different adapters. Medians; CPU time counts all threads.
"""

import copy
import json
import logging
import statistics
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from engines import models
from engines.turns import measure, options, some_prompts
from engines.with_fastchat import FastChat, loaded
from safetensors.torch import save_file

from fastchat_worker.adapters.targets import targets_of
from fastchat_worker.engine.adapters import AdapterLoader
from fastchat_worker.engine.selection.executor import select

SEQUENCES, ADAPTERS, RANK = 16, 4, 16
MOST = 1.25  # of the time of a step without any
LAYERS = {
    "all seven": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "q and v": ("q_proj", "v_proj"),
}
"""Linear layers of each block that adapters are for."""
EXECUTORS = {"torch": ("torch", "none"), "native": ("native", "none"), "int8": ("native", "int8")}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", default="native,int8,torch", help="executors, by commas")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    model = loaded(models.shipped())
    shapes = targets_of(model.model).shapes
    prompts = some_prompts(SEQUENCES, args.prompt, model.vocabulary)
    for name in args.only.split(","):
        print(f"\nadapters, {name}")
        runner = select(copy.deepcopy(model.model), *EXECUTORS[name])
        compare(runner, shapes, prompts, args)


def compare(runner, shapes, prompts, args) -> None:
    """Prints tokens per second without adapters and with them, and how much longer a step is."""
    engine, loader = FastChat(runner), AdapterLoader(runner)
    adapters = {name: [load(loader, shapes, ends) for _ in range(ADAPTERS)] for name, ends in LAYERS.items()}
    runs = {"none": partial(engine.generate, prompts)}
    runs |= {name: partial(engine.generate, prompts, adapters=made) for name, made in adapters.items()}
    for run in runs.values():
        run(tokens=4)  # warm
    seconds = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            seconds[name].append(measure(partial(run, tokens=args.tokens)))
    medians = {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in seconds.items()}
    tokens, plain = len(prompts) * args.tokens, medians["none"]
    for name, (cpu, wall) in medians.items():
        print(f"{name:10} {tokens / cpu:8.1f} tokens/CPU-s {tokens / wall:8.1f} tokens/s", end="")
        print(f"   {cpu / plain[0]:.3f}x the CPU time, {wall / plain[1]:.3f}x the time, at most {MOST:.2f}x")


def load(loader: AdapterLoader, shapes, layers: tuple[str, ...]):
    """An adapter of random weights, so small that they hardly change what is generated."""
    tensors = {}
    for name in filter(lambda name: name.endswith(layers), shapes):
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, shapes[name].inputs) * 0.01
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(shapes[name].outputs, RANK) * 0.01
    described = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": list(layers)}
    with TemporaryDirectory() as folder:
        (Path(folder) / "adapter_config.json").write_text(json.dumps(described))
        save_file(tensors, Path(folder) / "adapter_model.safetensors")
        return loader.load("adapter", Path(folder))


if __name__ == "__main__":
    main()
