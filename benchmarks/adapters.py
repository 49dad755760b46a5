"""What adapters add to a step: 16 sequences with four of rank 16, beside the same 16 on the base alone."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

MOST = 1.25  # of the time of a step without any
ADAPTERS, RANK = 4, 16
LAYERS = {
    "all seven": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "q and v": ("q_proj", "v_proj"),
}
"""Linear layers of each block that adapters are for."""


class Adapted:
    """Our engine, every sequence with one of four adapters, neighbours with different ones."""

    def __init__(self, ours, shapes: Mapping[str, Any], layers: str):
        self.ours, self.name = ours, f"{ours.name}, adapters ({layers})"
        self.adapters = [_load(ours, shapes, LAYERS[layers]) for _ in range(ADAPTERS)]

    @contextmanager
    def session(self, prompts: list[list[int]], tokens: int) -> Iterator[Callable[[], None]]:
        yield lambda: self.ours._run(prompts, tokens, adapters=self.adapters)


def compare_adapters(ours, shapes: Mapping[str, Any], take_turns: Callable[[list], dict]) -> None:
    """Prints tokens per CPU-second and per second of each, and how much longer a step is.

    shapes: of the model's linear layers. take_turns: the medians of contenders.
    """
    results = take_turns([ours, *(Adapted(ours, shapes, layers) for layers in LAYERS)])
    plain_cpu, plain = results[ours]
    for contender, (cpu, wall) in results.items():
        print(f"{contender.name:58}{cpu:>10.1f}{wall:>10.1f}")
        if contender is not ours:
            verdict = "reached" if plain / wall <= MOST else "MISSED"
            print(f"     a step takes {plain / wall:.3f}x the time, {plain_cpu / cpu:.3f}x the CPU time")
            print(f"     at most {MOST:.2f}x: {verdict}")


def _load(ours, shapes: Mapping[str, Any], layers: tuple[str, ...]):
    """An adapter of random weights, so small that they hardly change what is generated."""
    tensors = {}
    for name in filter(lambda name: name.endswith(layers), shapes):
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, shapes[name].inputs) * 0.01
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(shapes[name].outputs, RANK) * 0.01
    described = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": list(layers)}
    with TemporaryDirectory() as folder:
        (Path(folder) / "adapter_config.json").write_text(json.dumps(described))
        save_file(tensors, Path(folder) / "adapter_model.safetensors")
        return ours.loader.load("adapter", Path(folder))
