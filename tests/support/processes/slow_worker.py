"""A worker whose model takes its time and may break: `python slow_worker.py FILE OPTIONS…`, the worker's options.

Each call of the model takes as long as that of a large one. Once the file is there every call raises, as all do after
an error of CUDA's; where it says `stuck`, a call does not return instead.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from fastchat_worker import __main__ as worker
from fastchat_worker.engine.runner import Runner

_STEP = 0.05  # seconds
_forward = Runner._forward


def _breaking(self: Runner, *args: Any, **options: Any) -> Any:
    time.sleep(_STEP)
    while FILE.exists() and FILE.read_text() == "stuck":
        time.sleep(_STEP)
    if FILE.exists():
        raise torch.AcceleratorError(
            "CUDA error: an illegal memory access was encountered\n"
            "CUDA kernel errors might be asynchronously reported at some other API call.\n"
        )
    return _forward(self, *args, **options)


if __name__ == "__main__":
    FILE = Path(sys.argv.pop(1))
    Runner._forward = _breaking  # type: ignore[method-assign]
    worker.main()
