"""What a JSON schema costs: 16 sequences that keep one take turns with the same 16 that keep none, on our engine.

    python benchmarks/grammar.py [--prompt 64] [--tokens 96] [--rounds 3] [--threads 2]

SmolLM2-135M in float32 on the executor that the worker would choose. Medians; CPU time counts all threads.
"""

import logging
import statistics
from functools import partial

import torch
from engines import models
from engines.turns import measure, options, some_prompts
from engines.with_fastchat import FastChat, loaded

from fastchat_worker.engine.selection.executor import select
from fastchat_worker.sampling.grammar import Grammars, json_schema

SEQUENCES = 16
MOST = 1.15  # of a step without one
PEOPLE = {
    "type": "array",
    "minItems": 999,  # no document is complete before its tokens are spent
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "role": {"enum": ["engineer", "manager", "analyst"]},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["name", "age", "role", "tags"],
        "additionalProperties": False,
    },
}


def main() -> None:
    parser = options(__doc__)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    model = loaded(models.shipped())
    grammars = Grammars(model.tokenizer, model.vocabulary, model.end_tokens)
    grammar = grammars.compile(json_schema(PEOPLE))
    engine = FastChat(select(model.model, "auto", "none"))
    prompts = some_prompts(SEQUENCES, args.prompt, model.vocabulary)
    compare(engine, prompts, grammar, args)


def compare(engine: FastChat, prompts, grammar, args) -> None:
    """Prints tokens per second, and by how much a grammar makes a step longer."""
    runs = {None: [], grammar: []}
    for made in runs:
        engine.generate(prompts, 4, made)  # warm
    for _ in range(args.rounds):
        for made, seconds in runs.items():
            seconds.append(measure(partial(engine.generate, prompts, args.tokens, made)))
    plain, constrained = (tuple(map(statistics.median, zip(*seconds, strict=True))) for seconds in runs.values())
    tokens = len(prompts) * args.tokens
    for name, (cpu, wall) in (("no grammar", plain), ("JSON schema", constrained)):
        print(f"{name:12} {tokens / cpu:8.1f} tokens/CPU-s {tokens / wall:8.1f} tokens/s")
    longer = constrained[1] / plain[1]
    print(f"a step takes {longer:.3f}x the time, {constrained[0] / plain[0]:.3f}x the CPU time")
    print(f"at most {MOST:.2f}x: {'reached' if longer <= MOST else 'MISSED'}")


if __name__ == "__main__":
    main()
