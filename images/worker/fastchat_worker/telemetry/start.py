"""How long a worker took from the start of its process until it was ready, by phase."""

import time
from collections.abc import Mapping
from pathlib import Path

IMPORTS = "imports"
_BEGINS = {
    "reading the chat template": "source",
    "loading the tokenizer": "tokenizer",
    "loading the weights": "weights",
    "laying out the weights": "layout",
    "making room for the cache": "cache",
    "reading the tokens' texts": "texts",
    "ready": "",
}
"""What is reported when a phase begins; other reports tell how far a phase is. `layout` has the executor's trial."""
_TICKS = 100
"""Of a second in what Linux tells of processes, on every architecture (USER_HZ)."""


class StartPhases:
    """Seconds of each phase, in their order. `imports` begins with the process and has all until the port is open."""

    def __init__(self, since_process_start: float | None = None) -> None:
        """since_process_start: seconds; None asks the system."""
        age = process_age() if since_process_start is None else since_process_start
        self._seconds: dict[str, float] = {}
        self._phase, self._began = IMPORTS, time.monotonic() - age

    def report(self, detail: str) -> None:
        """Takes note of what goes on now; what no phase begins with changes nothing."""
        following = _BEGINS.get(detail)
        if following is None or not self._phase:
            return
        now = time.monotonic()
        self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._began
        self._phase, self._began = following, now

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of the phases that have ended."""
        return self._seconds

    def __str__(self) -> str:
        parts = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in self._seconds.items())
        return f"{sum(self._seconds.values()):.2f} s: {parts}"


def process_age() -> float:
    """Seconds since this process was started; 0 where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(up - ticks / _TICKS, 0.0)
