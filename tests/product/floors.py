"""What may take so long at most. It holds where a cluster has the machine to itself: in `make e2e` and `make fleet`."""

import os

FLOORS = bool(os.environ.get("FASTCHAT_FLOORS"))


def assert_floor(seconds: float, at_most: float) -> None:
    """Fail where it took longer, if floors are asserted here; beside other tests nothing is said of speed."""
    if FLOORS:
        assert seconds < at_most, f"{seconds:.2f} s, and may be {at_most} s at most"
