"""How the ranks of a model find each other, and what each loads."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

CANNOT_LOAD = 3
"""Exit code of a rank that gets no share of the model. Mostly rank 0 finds the same reason, and says it."""

_INTERFACES = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""All ranks are on one machine: nobody else shall reach the sockets by which they find each other."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a rank has to know. store: a file that only the ranks can write."""

    rank: int
    size: int
    store: Path
    files: ModelFiles
    settings: Settings

    def join(self) -> None:
        """Returns when all ranks have joined. On a GPU rank n has the n-th of those that this worker sees."""
        for name, value in _INTERFACES.items():
            os.environ.setdefault(name, value)
        on_gpus = self.settings.device != "cpu" and torch.cuda.is_available()
        if on_gpus:
            torch.cuda.set_device(self.rank)
        distributed.init_process_group(
            "nccl" if on_gpus else "gloo",
            store=distributed.FileStore(str(self.store), self.size),  # type: ignore[attr-defined]
            rank=self.rank,
            world_size=self.size,
        )
