"""What prompt lookup saves at one sequence: texts that repeat their prompt and one that does not, with it and without.

    python benchmarks/speculation.py [--tokens 128] [--rounds 3] [--threads 1] [--ngram 3] [--only native,int8]

SmolLM2-135M, greedy, the same prompts in turn; medians of the CPU time of all threads.
"""

import copy
import logging
import statistics

import torch
from engines import models
from engines.turns import measure, options
from engines.with_fastchat import FastChat, loaded

from fastchat_worker.engine.drafts import Drafter
from fastchat_worker.engine.selection.executor import select

EXECUTORS = {"native": ("native", "none"), "int8": ("native", "int8")}
PROGRAM = '''
def area(width, height):
    """Area of a rectangle."""
    return width * height


def volume(width, height, depth):
    """Volume of a box."""
    return width * height * depth
'''
FRUITS = "apples, pears, plums, cherries, grapes, melons, lemons, oranges, bananas, figs, dates, limes, kiwis, mangos"
ASKED = {
    "a program again": f"Repeat this program exactly, with nothing else:\n{PROGRAM.strip()}",
    "a list again": f"Repeat this list exactly: {FRUITS}.",
    "a story": "Tell me a story about a lighthouse keeper who finds a letter.",
}


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(threads=1, tokens=128)
    parser.add_argument("--ngram", type=int, default=3, help="tokens that are looked for")
    parser.add_argument("--only", default="native,int8", help="executors, by commas")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    model = loaded(models.shipped())
    prompts = {name: prompt_of(model.tokenizer, text) for name, text in ASKED.items()}
    for name in args.only.split(","):
        engines = [
            FastChat(select(copy.deepcopy(model.model), *EXECUTORS[name]), drafter=drafter)
            for drafter in (None, Drafter(args.ngram))
        ]
        for kind, prompt in prompts.items():
            compare(f"{name}, {kind}", engines, prompt, args)


def prompt_of(tokenizer, text: str) -> list[int]:
    return tokenizer(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")["input_ids"]


def compare(name: str, engines: list[FastChat], prompt: list[int], args) -> None:
    """Prints milliseconds of CPU time for a token with lookup and without, the time of reading the prompt left out."""
    texts, costs = [engine.generate([prompt], args.tokens)[0] for engine in engines], ([], [])
    drafting = engines[1].engine
    drafted, accepted = drafting.tokens_drafted, drafting.tokens_accepted
    for _ in range(args.rounds):
        for engine, cost in zip(engines, costs, strict=True):
            whole, read = (measure(lambda n=n, e=engine: e.generate([prompt], n))[0] for n in (args.tokens, 1))
            cost.append((whole - read) / (args.tokens - 1) * 1000)
    plain, lookup = map(statistics.median, costs)
    share = (drafting.tokens_accepted - accepted) / max(drafting.tokens_drafted - drafted, 1)
    same = "the same text" if texts[0] == texts[1] else "ANOTHER TEXT"
    print(f"{name:18} {plain:6.2f} ms of CPU time a token, with lookup {lookup:6.2f}: {plain / lookup:.2f}x", end="")
    print(
        f"   {share:.0%} of {(drafting.tokens_drafted - drafted) // args.rounds} drafted accepted, {same}", flush=True
    )


if __name__ == "__main__":
    main()
