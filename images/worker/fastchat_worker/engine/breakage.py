"""Whether a model that has failed can compute anything at all: an error of a GPU makes every later call fail too."""

import logging
import time
from collections.abc import Callable

from fastchat_worker.attention.batch import PackedBatch, Span
from fastchat_worker.engine.executor import ModelInput
from fastchat_worker.errors import first_line
from fastchat_worker.kv.edits import Clear
from fastchat_worker.sampling.parameters import Choice

logger = logging.getLogger(__name__)

_TRIES = 3
_PAUSE = 0.5  # seconds between them: memory that others hold for a moment is no breakage

PROBE = ModelInput(PackedBatch((0,), (0,), (0,), 0, (Span(0, 1, 0, 0),)), (Clear(0, 1),), (0,), (Choice(),))
"""A step that no request has a part in: it reads token 0 into the first slot."""


def why_broken(work: Callable[[], object]) -> str:
    """What work that has nothing wrong about it raised last, of three tries; empty where it succeeds.

    work: in which no request has a part, so that no request can make a model seem broken.
    """
    reason = ""
    for number in range(_TRIES):
        time.sleep(_PAUSE if number else 0)
        try:
            work()
        except Exception as error:
            logger.exception("a trial after a failure failed too")
            reason = first_line(error)
        else:
            return ""
    return reason
