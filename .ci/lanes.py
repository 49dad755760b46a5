#!/usr/bin/env python3
"""Makes targets of the Makefile side by side: lanes.py [--at-once N] TARGET…; every line says which target it is from.

Without N all begin at once; with it the first N do, and as one ends the next one begins, so that the longest stand
first. A step that fails does not keep the next ones of its target from being made. Ctrl-C and SIGTERM reach every
process of every lane as Ctrl-C, so that each cleans up after itself. The last lines say how each target ended, how long
it took, and which tests failed in it.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 5
"""A lane has ended; a process that it left behind may hold its output open for ever."""


class Lane:
    """A target that is being made, in a process group of its own: Ctrl-C comes from us alone, and once."""

    def __init__(self, target: str, width: int) -> None:
        self._label = f"{target:{width}}"
        self._failed: list[str] = []
        self._began = self._ended = time.monotonic()
        self._process = subprocess.Popen(
            [os.environ.get("MAKE", "make"), "--no-print-directory", "--keep-going", target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._output = threading.Thread(target=self._show, daemon=True)
        self._output.start()

    def runs(self) -> bool:
        if self._process.poll() is not None:
            return False
        self._ended = time.monotonic()
        return True

    def interrupt(self) -> None:
        if self.runs():
            os.killpg(self._process.pid, signal.SIGINT)

    def report(self) -> list[str]:
        """How it ended, and pytest's own lines about what failed."""
        self._output.join(LAST_WORDS_SECONDS)
        ended = f"failed ({code})" if (code := self._process.returncode) else "passed"
        return [f"{self._label} | {ended} after {(self._ended - self._began) / 60:.1f} minutes", *self._failed]

    @property
    def is_red(self) -> bool:
        return bool(self._process.returncode)

    def _show(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:  # closed where nobody reads ours any more, for the lane to notice
            for line in lines:
                said = f"{self._label} | {line.rstrip()}"
                sys.stdout.write(f"{said}\n")
                sys.stdout.flush()
                if line.startswith(("FAILED ", "ERROR ")):
                    self._failed.append(said)


class Interrupts:
    """Counts Ctrl-C and SIGTERM instead of dying of them."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._came)

    def _came(self, *_: object) -> None:
        self.count += 1


def main(targets: Sequence[str], at_once: int) -> int:
    """Exit code: 0 where all targets were made, 130 where they were interrupted, else 1."""
    interrupts, told = Interrupts(), 0
    waiting, lanes = list(targets), list[Lane]()
    while (running := sum(lane.runs() for lane in lanes)) or (waiting and not interrupts.count):
        if waiting and running < at_once and not interrupts.count:
            lanes.append(Lane(waiting.pop(0), max(map(len, targets))))
            continue
        for _ in range(told, interrupts.count):
            told += 1
            for lane in lanes:
                lane.interrupt()
        time.sleep(LOOK_SECONDS)
    reports = [line for lane in lanes for line in lane.report()]
    sys.stdout.write("\n".join(["", *reports, ""]))
    return 130 if interrupts.count else int(any(lane.is_red for lane in lanes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--at-once", type=int, metavar="N")
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    given = parser.parse_args()
    sys.exit(main(given.targets, given.at_once or len(given.targets)))
