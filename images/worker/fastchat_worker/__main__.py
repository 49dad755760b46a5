"""`python -m fastchat_worker`: serves one model until SIGTERM."""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from fastchat._runtime import log
from fastchat_worker.lean import import_torch, import_transformers
from fastchat_worker.settings import Settings, parse

_TERMINATION_LOG = Path("/dev/termination-log")


def main() -> None:
    """Serves; exits 0 after a graceful stop, 1 where the model cannot be loaded, 2 for a wrong command line."""
    for number in (signal.SIGTERM, signal.SIGINT):  # the imports take seconds, and a container's first process
        signal.signal(number, lambda *_: os._exit(0))  # ignores signals that it does not handle
    settings = parse()
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress goes to /ready, not into the log
    log.configure()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        import_torch()
        import_transformers(ranks=_may_have_ranks(settings))
        from fastchat_worker.http.server import Server
    except ModuleNotFoundError as missing:
        _fail(f"{missing.name} is not installed: pip install 'fastchat-k8s[worker]'")
    Server(settings, fail=_fail).run()


def _may_have_ranks(settings: Settings) -> bool:
    """Several are asked for, or may be taken because there are several GPUs."""
    import torch

    return settings.tensor_parallel_size > 1 or (settings.tensor_parallel_size == 0 and torch.cuda.device_count() > 1)


def _fail(reason: str) -> NoReturn:
    """Ends the process at once, whatever its threads do, with the reason as last line and termination message."""
    line = f"fastchat-worker: {reason}"
    with suppress(OSError):  # a full disk may be the reason, and have the log on it
        print(line, file=sys.stderr, flush=True)
    with suppress(OSError):
        if _TERMINATION_LOG.is_file():
            _TERMINATION_LOG.write_text(line)
    os._exit(1)


if __name__ == "__main__":
    main()
