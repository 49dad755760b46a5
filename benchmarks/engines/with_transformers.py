"""transformers' two ways to generate.

    python -m engines.with_transformers MODEL.gguf generate|continuous THREADS
    python -m engines.with_transformers FOLDER generate|continuous DEVICE

A folder has a configuration, of which a model with random weights is made on the device.

Its manager of continuous batching is made and warmed for each run, outside the measured time: while one is kept it
polls, which would count against the others. On a CPU its cache gets a tenth of the free memory, which is enough: by
itself it takes most of it, as if it were alone.
"""

import logging
import os
import sys
from contextlib import contextmanager
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import torch
import transformers
from engines.protocol import serve
from engines.shapes import random_model
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.utils import WorkloadHints


class Plain:
    """`model.generate` on one batch. The prompts are of one length."""

    def __init__(self, model):
        self.model = model

    @contextmanager
    def session(self, prompts, tokens):
        batch = torch.tensor(prompts, device=self.model.device)
        lengths = {"max_new_tokens": tokens, "min_new_tokens": tokens, "pad_token_id": 0}
        options = {"attention_mask": torch.ones_like(batch), "do_sample": False, **lengths}
        yield lambda: self.model.generate(batch, **options)[:, batch.shape[1] :].tolist()


class Continuous:
    """Continuous batching."""

    def __init__(self, model):
        self.model = model

    @contextmanager
    def session(self, prompts, tokens):
        config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
        hints = WorkloadHints(max(map(len, prompts)), tokens, len(prompts))
        limits = None if self.model.device.type == "cuda" else ContinuousBatchingConfig(max_memory_percent=0.1)
        with self.model.continuous_batching_context_manager(
            config, workload_hints=hints, timeout=5, continuous_batching_config=limits
        ) as manager:
            self.generate(manager, prompts, 2)
            yield lambda: self.generate(manager, prompts, tokens)

    def generate(self, manager, prompts, tokens):
        names = manager.add_requests(inputs=prompts, max_new_tokens=tokens)
        made = {}
        while len(made) < len(prompts):
            result = manager.get_result(timeout=1)
            if result and result.is_finished():
                made[result.request_id] = list(result.generated_tokens)
        return [made[name] for name in names]


def of_file(path: Path, threads: str):
    torch.set_num_threads(int(threads))
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    path = Path(sys.argv[1])
    model = (random_model if path.is_dir() else of_file)(path, sys.argv[3])
    way = {"generate": Plain, "continuous": Continuous}[sys.argv[2]](model)
    serve(f"transformers {transformers.__version__}", way.session)
