"""Notices that loading has stalled, whatever it waits for."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# A process that does nothing but respond to probes stays below these rates, per second.
_IDLE_CPU = 0.05  # seconds
_IDLE_BYTES = 1 << 16
_IDLE_FAULTS = 1


@dataclass(frozen=True)
class Activity:
    """What a process has done until now.

    detail: what it reports. cpu: seconds. moved: bytes read and written. faults: pages that came from a disk, which is
    how weights that are mapped into memory are read.
    """

    detail: str
    cpu: float = 0
    moved: int = 0
    faults: int = 0


def activity(detail: str) -> Activity:
    """The activity of this process until now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Activity(detail, usage.ru_utime + usage.ru_stime, _bytes_moved(), usage.ru_majflt)


def worked(before: Activity, after: Activity, seconds: float) -> bool:
    """Whether there was progress between two looks that are so many seconds apart."""
    return (
        after.detail != before.detail
        or after.cpu - before.cpu > _IDLE_CPU * seconds
        or after.moved - before.moved > _IDLE_BYTES * seconds
        or after.faults - before.faults > _IDLE_FAULTS * seconds
    )


def stands_still(look: Callable[[], Activity], ended: Callable[[], bool], timeout: float) -> bool:
    """Waits: True once there was no progress for so many seconds, False when it ended before that.

    Counts the looks and not the clock, so that a process that was stopped for long is not blamed for it.
    """
    seconds = min(10, timeout / 10)
    before, still = look(), 0
    while not ended():
        time.sleep(seconds)
        after = look()
        still = 0 if worked(before, after, seconds) else still + 1
        if still * seconds >= timeout:
            return True
        before = after
    return False


def _bytes_moved() -> int:
    """Bytes read and written by system calls; 0 on systems other than Linux."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar:", "wchar:")))
