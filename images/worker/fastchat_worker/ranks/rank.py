"""`python -m fastchat_worker.ranks.rank`: another rank than 0, which repeats what rank 0 does on a share of its own."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from fastchat._runtime import log
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.engine.runner import Runner
from fastchat_worker.errors import first_line
from fastchat_worker.kv.memory import free_bytes
from fastchat_worker.model import loader, rope
from fastchat_worker.ranks.membership import CANNOT_LOAD, Membership

logger = logging.getLogger(__name__)


class Share:
    """This rank's share of the model. Rank 0 calls the methods by name; where it waits for us in one, we do for it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._runner = Runner(model)

    def free_bytes(self) -> int:
        """Memory of this rank's device that can still be had."""
        return free_bytes(self._runner.device)

    def open_cache(self, slots: int, max_len: int) -> None:
        rope.settle(self._model, max_len)
        self._runner.open_cache(slots, max_len)

    def compute(self, step: ModelInput) -> None:
        """Its part of the logits; which tokens are chosen by them is rank 0's business."""
        self._runner.compute(step)

    def embed(self, texts: Sequence[Sequence[int]]) -> None:
        self._runner.embed(texts)

    def logits(self, text: Sequence[int]) -> None:
        self._runner.logits(text)


def main() -> None:
    """Ends with rank 0, and by `CANNOT_LOAD` where it gets no share of the model."""
    for number in (signal.SIGTERM, signal.SIGINT):  # whoever signals all processes means rank 0, which ends us
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.configure()
    calls = Connection(int(sys.argv[1]))
    membership = calls.recv()
    try:
        share = _load(membership)
    except Exception as error:  # noqa: BLE001  # transformers raises nearly anything for a broken model
        logger.critical("rank %d cannot load its share of the model: %s", membership.rank, first_line(error))
        os._exit(CANNOT_LOAD)
    while True:
        name, arguments = calls.recv()
        calls.send(_answer(share, name, arguments))


def _load(membership: Membership) -> Share:
    membership.join()
    model = loader.load(membership.files, membership.settings, lambda *_: None)
    return Share(model.model)


def _answer(share: Share, name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, getattr(share, name)(*arguments)
    except Exception as error:  # noqa: BLE001  # whatever the model raises is rank 0's to judge
        return False, f"{type(error).__name__}: {error}"


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
