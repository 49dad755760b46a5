"""What a test waits for: as long as it takes on a busy machine, and no longer than it is so."""

import pytest
from support.eventually import eventually, eventually_async


class Probe:
    """Gives one value after the other; those that are errors are raised."""

    def __init__(self, *values):
        self.left = list(values)

    def __call__(self):
        value = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(value, Exception):
            raise value
        return value


async def asynchronously(probe):
    async def look():
        return probe()

    return await eventually_async(look, 0.1)


def test_what_is_true_at_last_is_returned():
    assert eventually(Probe(None, 0, "", "found")) == "found"


def test_what_stays_untrue_fails_with_what_was_seen_and_said_last():
    with pytest.raises(AssertionError, match=r"^not after 0.1 s: \[\]\nits log$"):
        eventually(Probe([]), 0.1, said=lambda: "its log")


def test_an_error_that_is_ignored_counts_as_not_yet():
    assert eventually(Probe(OSError("no"), "found"), ignoring=(OSError,)) == "found"
    with pytest.raises(AssertionError, match="no"):
        eventually(Probe(OSError("no")), 0.1, ignoring=(OSError,))


def test_any_other_error_ends_the_wait():
    with pytest.raises(ValueError, match="no"):
        eventually(Probe(ValueError("no"), "found"), ignoring=(OSError,))


async def test_a_coroutine_function_is_awaited_and_a_function_called():
    assert await asynchronously(Probe(None, "found")) == "found"
    assert await eventually_async(Probe(None, "found")) == "found"
    with pytest.raises(AssertionError, match=r"^not after 0.1 s: None$"):
        await asynchronously(Probe(None))
