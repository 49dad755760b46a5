"""How long and how many sequences the memory of the device allows."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fastchat_worker.errors import LoadError

_SHARE = 0.8  # of the free memory goes to the cache; the rest is for activations
_FEW = 4  # sequences: with fewer at once the context gets shorter, with more it stays what the model has
_SHORT = 2048  # tokens: below that it does not get


@dataclass(frozen=True)
class Room:
    """The cache holds `slots` sequences of `max_len` tokens."""

    slots: int
    max_len: int

    def kept_tokens(self, device: str) -> int:
        """Tokens of ended sequences that may stay in it at most, within the room of those that run.

        On the CPU memory is taken as it is first written, and would all be taken in the end: a quarter of it stays, or
        as much as one sequence can have.
        """
        tokens = self.slots * self.max_len
        return max(tokens // 4, self.max_len) if device == "cpu" else tokens


def plan(free: int, token_bytes: int, model_len: int, wanted_len: int | None, wanted_slots: int) -> Room:
    """Room for `wanted_slots` sequences if it can be had.

    free: bytes of memory. token_bytes: cache bytes per token. model_len: the model's own limit in tokens. Where memory
    is short there are fewer sequences; below four the length is shortened instead, unless `wanted_len` names it.
    Raises: LoadError where there is no room for one sequence.
    """
    tokens = int(free * _SHARE) // token_bytes
    max_len = min(model_len, wanted_len or max(tokens // min(_FEW, wanted_slots), _SHORT))
    slots = min(wanted_slots, tokens // max_len)
    if slots < 1:
        raise LoadError(
            f"no memory for one sequence of {max_len} tokens: its cache takes {max_len * token_bytes / 2**30:.1f} GiB "
            f"and {tokens * token_bytes / 2**30:.1f} GiB are free for it; lower --max-model-len"
        )
    return Room(slots, max_len)


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on a device, in bytes; on the CPU within the container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = _meminfo_available()
    limit, used = (
        _cgroup("memory.max", "memory/memory.limit_in_bytes"),
        _cgroup("memory.current", "memory/memory.usage_in_bytes"),
    )
    return min(available, limit - used) if limit and used else available


def _meminfo_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 8 * 2**30  # not Linux: a guess that fits a laptop


def _cgroup(*names: str) -> int | None:
    """The first of these files of /sys/fs/cgroup (version 2, version 1) that holds a number."""
    for name in names:
        try:
            return int((Path("/sys/fs/cgroup") / name).read_text())
        except (OSError, ValueError):
            continue
    return None
