"""What happens to workers, and to which of them."""

import os
import signal
from collections.abc import Sequence

from support.workers import WorkerProcess


def kill(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)


def freeze(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGSTOP)


def thaw(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGCONT)


def stop(worker: WorkerProcess) -> None:
    os.kill(worker.process.pid, signal.SIGTERM)


def busiest(workers: Sequence[WorkerProcess]) -> WorkerProcess:
    """The one that computes most sequences."""
    return max(workers, key=lambda worker: worker.gauge("sequences_running"))
