"""A worker that says what a script tells it to: rules of when and what; the first that fits a prompt counts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from support.workers import WorkerProcess

PROGRAM = Path(__file__).with_name("forced_worker.py")


class Rule(TypedDict):
    """`say` is what follows a prompt in which the expression `when` is found."""

    when: str
    say: str


class ForcedWorker(WorkerProcess):
    """`forced_worker.py` on a free port; until it is given rules the model says what it likes."""

    def __init__(self, folder: Path, *args: str) -> None:
        self._script = folder / "script.json"
        self.follow([])
        super().__init__(folder, *args, program=(str(PROGRAM), str(self._script)))

    def follow(self, rules: Sequence[Rule]) -> None:
        """From now on these rules hold, and no others."""
        self._script.write_text(json.dumps(rules))


def call(name: str, /, **arguments: object) -> str:
    """A call of a tool as a model writes it whose template knows none."""
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{written}\n</tool_call>"
