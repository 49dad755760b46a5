"""A worker whose sampler is forced along a script, for clients that need more wit than 135M parameters have.

`python forced_worker.py SCRIPT.json OPTIONS…`, the options being the worker's. The script is a list of
`{"when": REGEX, "say": TEXT}`, read anew for every prompt: the first rule whose expression is found in a prompt decides
what is said to it; where there is none, the model says what it likes. The tokens are the text's; all else (template,
tokenizer, grammar, parser, streams, API) is the real worker's.
"""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastchat_worker import __main__ as worker
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.serving.generation import Generation

SCRIPT, *OPTIONS = sys.argv[1:]
_forced: dict[Sequence, Iterator[int]] = {}
_start, _append, _end = Generation.__init__, Sequence.append, Sequence.end


def _say(prompt: str) -> str | None:
    rules = json.loads(Path(SCRIPT).read_text())
    return next((rule["say"] for rule in rules if re.search(rule["when"], prompt)), None)


def _start_forced(self: Any, generator: Any, prompts: Any, *rest: Any) -> None:
    _start(self, generator, prompts, *rest)
    tokenizer, ends = generator.language_model.tokenizer, generator.language_model.end_tokens
    for sequence in self._sequences:
        prompt = tokenizer.decode(sequence.prompt)
        print(f"--- prompt ---\n{prompt}\n--- end of prompt ---", flush=True)
        if (text := _say(prompt)) is not None:
            tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
            had = len(sequence.tokens)  # on another worker
            _forced[sequence] = itertools.chain(tokens[had:], itertools.repeat(min(ends)))


def _append_forced(self: Any, token: int, *rest: Any) -> None:
    _append(self, next(_forced[self]) if self in _forced else token, *rest)


def _end_forced(self: Any, *how: Any) -> None:
    _forced.pop(self, None)
    _end(self, *how)


if __name__ == "__main__":
    Generation.__init__ = _start_forced  # type: ignore[assignment, method-assign]
    Sequence.append, Sequence.end = _append_forced, _end_forced  # type: ignore[assignment, method-assign]
    sys.argv[1:] = OPTIONS
    worker.main()
