"""How often the progress of a load is written into a status."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastchat.v1alpha1.status import LoadProgress
from fastchat_operator.key import ModelKey

LEAST_SECONDS = 3.0
"""Between two writes of one ModelDeployment's progress."""


@dataclass(frozen=True)
class _Shown:
    progress: LoadProgress
    since: float


class Pace:
    """What is shown of the progress: at once when it begins and ends, in between not more often than that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown: dict[ModelKey, _Shown] = {}

    def show(self, key: ModelKey, progress: LoadProgress | None) -> LoadProgress | None:
        """What the status is to have, of what is known now."""
        if progress is None:
            self._shown.pop(key, None)
            return None
        shown, now = self._shown.get(key), self._clock()
        if shown is None or (progress != shown.progress and now - shown.since >= LEAST_SECONDS):
            shown = self._shown[key] = _Shown(progress, now)
        return shown.progress
