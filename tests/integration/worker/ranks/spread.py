"""A rank of a group that loads one folder after another: spread.py RANK SIZE STORE FOLDER…; rank 0 saves the logits.

Ranks are processes of their own because a process can be a member of one group only, for as long as it lives.
"""

import sys
from pathlib import Path

import torch

from fastchat_worker.engine.runner import Runner
from fastchat_worker.model import loader
from fastchat_worker.ranks.membership import Membership
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles

TEXT = list(range(1, 40))


def main(rank: int, size: int, store: Path, folders: list[Path]) -> None:
    settings = Settings(model_name="m", model_path="m", device="cpu", tensor_parallel_size=size)
    Membership(rank, size, store, ModelFiles(folders[0]), settings).join()
    for folder in folders:
        model = loader.load(ModelFiles(folder), settings, lambda _: None).model
        logits = Runner(model).logits(TEXT)
        if rank == 0:
            torch.save(logits, folder / "logits.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), [Path(each) for each in sys.argv[4:]])
